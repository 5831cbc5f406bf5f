"""The contracts of the store and the queue, for two emulators of AWS and the simulation."""
