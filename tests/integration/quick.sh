# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: devices
#
# The shortest look at the whole: a Linux guest boots, is saved, and goes on in another process.
. "$T/lib.sh"

t_begin "a Linux guest boots"
if start_guest --cpus 2 --memory 128M && tell 20 mark "echo kept >/tmp/mark; cat /tmp/mark" &&
	[ "$(said mark)" = kept ]; then t_ok; else t_fail "it did not" out; fi

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "it powers off"
	if end_guest; then t_ok; else t_fail "status $guest_status" out; fi
	t_begin "it is saved and restored"
	t_skip "this host's KVM takes no snapshots"
	t_done
}

t_begin "it is saved"
if timeout 60 stasis snapshot --socket "$PWD/s" shot >save.out 2>&1; then t_ok; else
	t_fail "it was not" save.out
fi
kill $guest_pid
wait $guest_pid
rm -f s

t_begin "another process restores it, with what it had in its memory"
stasis restore "$PWD/shot" --api-sock "$PWD/s" >out 2>&1 <console 9<&- &
guest_pid=$!
if tell 20 again "cat /tmp/mark" && [ "$(said again)" = kept ]; then t_ok; else
	t_fail "the guest did not answer" out
fi

t_begin "it powers off"
if end_guest; then t_ok; else t_fail "status $guest_status" out; fi
t_done
