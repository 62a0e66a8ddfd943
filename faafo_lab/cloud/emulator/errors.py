"""The embedded cloud's errors as a program (its APIs' error answers are `service.Fault`).

EmulatorError
├── StateError          the state directory cannot be used
│   └── VersionError    … because another version of faafo-lab wrote it
├── AlreadyRunning      another emulator runs on this state directory
├── AddressError        no free address or port on this machine
├── StartError          the emulator did not start
├── StopError           it did not stop
└── HypervisorError     its instances could not be run (see `machinery.hypervisor.client`)
"""


class EmulatorError(Exception):
    """One clear sentence: what is wrong, and what to do next."""


class StateError(EmulatorError):
    """The state directory cannot be used."""


class VersionError(StateError):
    """Another version of faafo-lab wrote the state directory."""


class AlreadyRunning(EmulatorError):
    """Another emulator runs on this state directory."""


class AddressError(EmulatorError):
    """The address or the port is taken."""


class StartError(EmulatorError):
    """The emulator did not start within its limit, or ended while starting."""


class StopError(EmulatorError):
    """The emulator is still there after SIGTERM and SIGKILL."""
