"""An analyzer and an LIS to test a site with. Everything made here is simulated and says so."""
