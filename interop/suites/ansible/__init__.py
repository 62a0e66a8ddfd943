"""Ansible's openstack.cloud: an application's six servers with all around them, set up twice and torn down twice."""
