"""clirbench inside the tools that its users already work with: each module needs the package that it is named after."""
