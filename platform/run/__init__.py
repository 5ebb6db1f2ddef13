"""How a study runs: driver, dispatcher, proposer, leases, stalls."""
