"""The lessons and the tasks of each page, by the page's name."""
