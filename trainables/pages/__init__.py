"""HTML pages with one kit and one style sheet: pages of judged videos, tables, drawings and film strips."""
