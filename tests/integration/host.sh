# SPDX-License-Identifier: Apache-2.0
#
# The host itself: what every other suite stands on.
. "$T/lib.sh"

t_begin "the host runs the wanted kernel"
case $RIG_HOST in
"") t_skip "a real host may run any kernel" ;;
"$(uname -r)") t_ok ;;
*) t_fail "it is $(uname -r), not $RIG_HOST" ;;
esac

t_begin "/dev/kvm opens for reading and writing"
t_check sh -c ': <>/dev/kvm'

t_begin "a command that takes too long is ended"
run_guest 1 out sleep 60
if [ $? -eq 124 ]; then t_ok; else t_fail "status $run_status instead of 124"; fi

t_begin "a command's output and status are kept"
run_guest 10 out sh -c 'echo words; exit 7'
if [ $run_status -eq 7 ] && grep -qx words out; then t_ok; else t_fail "status $run_status" out; fi

t_done
