"""Many pictures: folders and tables, on one machine or many, ended and gone on with at will.

`lexiseg.run_batch` is the door. Nothing is imported here: commands that write a single picture use
rooms of this package, too.
"""
