"""clirbench inside other tools. Each module needs the package that it is named after."""
