"""A supervisor with two children, as a program: ``python -m tests.site.family DIRECTORY``."""

import asyncio
import os
import sys

from ects_site.supervisor import Supervisor


async def main(directory: str) -> None:
    keeper = Supervisor(grace=5)
    keeper.handle_signals()
    for name in ("first", "second"):
        await keeper.start(name, ["sh", "-c", f"echo $$ > {directory}/{name}; exec sleep 300"], os.environ)
    print("ready", flush=True)
    await keeper.wait()
    await keeper.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
