def verdict(c): return ""
