"""Serves one small flow to the Prefect server of the test, in Prefect's own environment."""

import time

from prefect import flow


@flow(name="studio-film")
def film(story: str, seconds: float = 0.0, fail: bool = False) -> str:
    """Take its time, then end as it is told."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)
    if fail:
        raise ValueError(f"no panels for {story}")
    return story


if __name__ == "__main__":
    film.serve(name="peer", limit=4, print_starting_message=False)
