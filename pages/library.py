"""The library: every comparison that ships with the code or was trained here."""

from core.ui import shell

shell.boot()

from core.ui import library

library.show()
