"""The command line: one file per command, only arguments and printing."""
