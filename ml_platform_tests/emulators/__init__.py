"""Small programs that stand in for cloud services: they execute what they are sent, and they are strict.

Each is a Starlette application in a process of its own, started by `process.started`, for the unchanged SDKs:

    recording.py   what was called, what broke a contract, which routes nobody knows; read at `/_emulator/record`
    faults.py      latency, throttling, errors, dropped connections, revoked tokens; switched at `/_emulator/faults`
    identity.py    managed identity and service principals: tokens that expire
    process.py     starts and stops an emulator; certificates and the environment of the SDKs
    fixtures.py    pytest's fixtures of an emulated workspace and its client
    specs.py       where the published contracts are
    listening.py   what an emulator's own `__main__` calls
    azurite.py     Azurite, Microsoft's emulator of blob storage, on the same authority
    storage.py     a front of Azurite that can fail, with the identities whose tokens it takes
    public_names.py    a proxy through which public names of Azure lead to emulators
    postgres.py    a PostgreSQL server
    lakes.py       lakes on the storage account, and the environment for each credential
    arm/           Azure Resource Manager for Machine Learning, with MLflow on the workspace
"""
