"""Methods: one published recipe a file, each with its Config, PRESETS and a callable that runs it.

A new method is one new file here, or an entry point in the group ``lexiseg.methods``.
"""
