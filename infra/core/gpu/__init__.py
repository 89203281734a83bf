"""The GPU endpoint as data and arithmetic: definition, modes, control, money, simulation. Nothing here does I/O."""
