"""Start here: `streamlit run app.py` frames every page of the dashboard."""

from core.ui import shell

shell.boot()
shell.run()
