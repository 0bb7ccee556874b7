# SPDX-License-Identifier: Apache-2.0
#
# Runs a program that was built for this machine, as a step of the build.
import os
import sys

os.execv(sys.argv[1] if os.sep in sys.argv[1] else f"./{sys.argv[1]}", sys.argv[1:])
