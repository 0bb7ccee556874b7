# SPDX-License-Identifier: Apache-2.0
# image: debian
# seconds: 600
#
# The packages of tools/package, installed by dpkg in a fresh Debian 13 for arm64, and removed again.
# tests/package.py looks at what is in them.
. "$T/lib.sh"

root=$T/debian
for name in dev proc; do mount --bind /$name "$root/$name"; done
# By its path: otherwise busybox would be env, and dpkg.
within() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
list() { (cd "$root" && find etc usr -type f -o -type l | sort); }

list >before
t_begin "both packages install"
if within sh -c 'dpkg -i /tmp/packages/*.deb' >install.out 2>&1; then t_ok; else t_fail "they do not" install.out; fi
t_begin "dpkg finds nothing changed"
if within dpkg -V stasis stasis-clock-follow >verify.out 2>&1 && [ ! -s verify.out ]; then t_ok; else
	t_fail "it does" verify.out
fi
t_begin "the installed stasis starts, and says its version"
if within stasis --version >version.out 2>&1 && grep -q "^stasis $(within dpkg-query -W -f '${Version}' stasis):" version.out; then
	t_ok
else
	t_fail "it does not" version.out
fi
t_begin "it finds the host's KVM"
if within stasis doctor >doctor.out 2>&1; then t_ok; else t_fail "it does not" doctor.out; fi
for page in stasis stasis-run jailer clock-follow; do
	t_begin "man $page"
	if within man "$page" >man.out 2>man.err && grep -q "^NAME" man.out && ! [ -s man.err ]; then t_ok; else
		cat man.err >>man.out
		t_fail "it shows none" man.out
	fi
done
t_begin "stasis image without Python names the remedy"
within stasis image build --from oci:x --out y >image.out 2>&1
if [ $? -eq 1 ] && grep -q "^stasis image: python3 is missing; install it: " image.out; then t_ok; else t_fail "it does not" image.out; fi
t_begin "bash completes commands and options"
cat >"$root/tmp/complete" <<'END'
. /usr/share/bash-completion/completions/stasis
of() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=(); _stasis 2>/dev/null; echo "${COMPREPLY[*]}"; }
of stasis rest
of stasis run --kern
of stasis ctl power
of jailer --chroot
END
within bash /tmp/complete >complete.out 2>&1
if [ "$(tr '\n' ' ' <complete.out)" = "restore --kernel power-button --chroot-base-dir " ]; then t_ok; else
	t_fail "it does not" complete.out
fi
t_begin "a package whose installation is cut short is installed again"
for file in "$root"/tmp/packages/stasis_*.deb; do head -c 300000 "$file" >"$root/tmp/half.deb"; done
within dpkg -i /tmp/half.deb >half.out 2>&1
half=$?
if [ $half -ne 0 ] && within stasis --version >>half.out 2>&1 &&
	within sh -c 'dpkg -i /tmp/packages/stasis_*.deb' >>half.out 2>&1; then t_ok; else t_fail "status $half" half.out; fi
t_begin "removing them leaves nothing"
within dpkg -P stasis stasis-clock-follow >remove.out 2>&1
status=$?
list >after
if [ $status -eq 0 ] && diff before after >>remove.out; then t_ok; else t_fail "status $status" remove.out; fi
for name in dev proc; do umount "$root/$name"; done
t_done
