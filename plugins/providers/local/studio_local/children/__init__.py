"""Child processes that end with the server: Python workers speaking JSON lines, and the launcher of ffmpeg.

What runs inside a child imports neither the kernel nor asyncio, so that it starts in tens of milliseconds.
"""
