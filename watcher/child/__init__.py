"""Run calls in a child process with limits and a deadline, and kill it when it is over.

Knows nothing of images. `parent.Child` is what the rest of the program uses; `process.Process` is one running child as
its parent sees it; `cell` is its inside, and imports as little as it can; `messages` is what the two say to each other.
"""
