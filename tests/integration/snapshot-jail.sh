# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img out/guests/state.img out/tests/clock_host out/tests/jail
# add: tests/integration/snapshot.sh
#
# Snapshots as a jailer runs VMMs: as an ordinary user in a root that has nothing but the program,
# /dev/kvm and the files of the VM; there is no /proc, /sys or /dev/null.
mkdir -p bin dev
cp "$(command -v stasis)" "$T/clock.img" "$T/state.img" .
mv stasis bin/
chmod 644 ./*.img
mknod -m 666 dev/kvm c 10 232
chmod 755 .
umask 000
jail="$T/jail $PWD 12345" root='' images=''
essential=${essential-yes}
. "$T/snapshot.sh"
