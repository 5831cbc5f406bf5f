"""What a store and a queue must do, whoever is asked: the emulated AWS, or the simulated one."""
