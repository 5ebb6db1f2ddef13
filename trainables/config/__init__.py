"""What a trial is: typed, frozen configs. Importing this loads nothing heavy, so that a driver may do it freely."""
