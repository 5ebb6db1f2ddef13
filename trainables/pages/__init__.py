"""Pages on which people see judged videos."""
