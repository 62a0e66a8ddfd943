"""The guest agent: an instance's init, in the instance's own process.

agent        boots the instance and keeps it: the order of things
disk         unpacks the image, lays out directories, writes keys and commands, makes the environment
packing      makes an image of the disk
relocation   lets a snapshot's disk be at another place than the original's
hostname     the instance's own host name
console      the console log
cloudinit    makes of the instance what its user data say: userdata (their parts), cloudconfig
children     starts processes, reaps whoever ends below
units        reads systemd's unit files
supervisor   starts, stops and restarts units
systemctl    answers the `systemctl` of the instance
initsocket   the socket where the instance's commands ask their init
ssh          the SSH server
bin/         those commands
"""
