"""packer's OpenStack builder: images made of servers, over SSH, and servers made of these images."""
