"""What people see in a browser: one HTML kit and style sheet; pages of judged videos, tables, drawings, film strips."""
