"""The classes that the models are built on."""
