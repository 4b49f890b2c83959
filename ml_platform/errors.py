"""The errors that ml_platform raises on purpose.

    PlatformError
    ├── SettingsError    a setting is missing or wrong
    ├── SpecError        a product's declaration is wrong
    ├── LakeError        landed files or tables are not what they must be
    ├── GateError        something upstream did not pass, so nothing was done
    ├── JobError         a program that was started elsewhere failed
    ├── RegistryError    the model registry cannot answer or holds something unexpected
    ├── MonitorError     the monitor that a cloud brings itself cannot be kept or read
    └── EndpointError    an endpoint could not be brought into the declared state
        ├── DeploymentRefused    a deployment cannot be served or does not answer as its model does
        └── RolledBack           a roll-out went back, by what was seen

Every message names what is wrong (file, field, value) and what to do next.
"""


class PlatformError(Exception):
    """Whatever this platform refuses or fails to do, in a sentence for a person."""


class SettingsError(PlatformError):
    """A setting is missing or wrong."""


class SpecError(PlatformError):
    """A product's declaration is wrong."""


class LakeError(PlatformError):
    """Landed files or tables are not what they must be."""


class GateError(PlatformError):
    """Something upstream did not pass, so nothing was done."""


class JobError(PlatformError):
    """A program that was started elsewhere failed."""


class RegistryError(PlatformError):
    """The model registry cannot answer or holds something unexpected."""


class MonitorError(PlatformError):
    """The monitor that a cloud brings itself cannot be kept or read."""


class EndpointError(PlatformError):
    """An endpoint could not be brought into the declared state."""


class DeploymentRefused(EndpointError):
    """A deployment cannot be served or does not answer as its model does."""


class RolledBack(EndpointError):
    """A roll-out went back to the deployment before, by what was seen."""
