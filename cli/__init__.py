"""The command line of hmtl, installed as `hmtl.cli`."""
