"""The one-machine sandbox engine: a server of the E2B API over an OCI runtime.

EngineError
├── NoSuchSandbox    there is no sandbox of that id
├── NoSuchTemplate   there is no template of that name
├── WrongState       the sandbox is not in a state in which this can be done
├── BadLayer         a stream of files is not what a layer can hold
└── CommandFailed    a program of the system refused
"""
