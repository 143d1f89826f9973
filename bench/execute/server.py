"""What the process runs first from which workers are forked: Ctrl-C ends it without a word while it imports.

Importing this changes how the process takes Ctrl-C: for that process alone.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # instead of a traceback
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which the parent blocks while it starts this
