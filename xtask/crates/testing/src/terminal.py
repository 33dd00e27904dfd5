"""Runs a program in a terminal of 80 columns and 24 rows, as a person would: waits for words, then types or runs something.

Reads a JSON object on stdin: words, env, dir, steps (each {"expect": text, "type": text} or {"expect": text, "run": words}).
Prints what the terminal showed, with rows that go on below joined, so that words are found wherever they broke; its own exit code is the program's, or 99 where words never came.
"""

import fcntl, json, os, pty, re, select, struct, subprocess, sys, termios, time

# After so long it hangs, on however busy a machine.
LIMIT = 600


def joined(shown):
    return re.sub(rb"\r?\n +", b" ", shown)


asked = json.load(sys.stdin)
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.chdir(asked["dir"])
    os.execve(asked["words"][0], asked["words"], asked["env"])
shown, seen, steps = b"", 0, list(asked["steps"])
end = time.monotonic() + LIMIT
while time.monotonic() < end:
    if select.select([terminal], [], [], 0.2)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            data = b""
        if not data:
            break
        shown += data
    while steps:
        at = joined(shown).find(steps[0]["expect"].encode(), seen)
        if at < 0:
            break
        step = steps.pop(0)
        seen = at + len(step["expect"].encode())
        if "run" in step:
            subprocess.run(step["run"], env=asked["env"], cwd=asked["dir"], stdout=subprocess.DEVNULL, check=True)
        if "type" in step:
            os.write(terminal, step["type"].encode())
else:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
sys.stdout.write(joined(shown).decode(errors="replace"))
if steps:
    sys.stdout.write("\nnever shown: " + steps[0]["expect"])
    sys.exit(99)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
