"""OpenStack's integration tests (tempest): those that the interoperability guideline requires."""
