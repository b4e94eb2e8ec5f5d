"""Find the browser that the browser tests drive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# In a process of its own: a test may hold a Playwright already, and a thread can have only one.
ASK_PLAYWRIGHT = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


def find_browser() -> str | None:
    """Name the executable: `CONTRASTE_BROWSER`, a Chromium or Chrome on PATH, or Playwright's own."""
    for name in (os.environ.get("CONTRASTE_BROWSER", ""), *NAMES):
        if path := shutil.which(name):
            return path
    asked = subprocess.run([sys.executable, "-c", ASK_PLAYWRIGHT], capture_output=True, text=True)
    return shutil.which(asked.stdout.strip())
