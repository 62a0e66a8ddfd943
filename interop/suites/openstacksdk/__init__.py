"""openstacksdk's functional tests, of the services that the embedded cloud has."""
