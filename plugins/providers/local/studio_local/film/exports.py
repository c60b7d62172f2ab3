"""The time line for editing programs: OTIO, CMX3600 EDL and FCPXML. Runs in a worker process.

Media stand in all three under the names that `media_names` gives, relative to the exported file.
The EDL comes from the official OTIO adapter and exists only at rates that SMPTE time code counts. FCPXML is
written here: the official adapter knows neither stills nor the frame size, so that Final Cut opens its file
with offline clips of the wrong format.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import opentimelineio as otio  # type: ignore[import-untyped]  # it ships no types

_REEL = 32
"""Longest reel name; the adapter shortens longer ones and says so in a comment."""
TIMECODE_RATES = (24, 25, 30, 48, 50, 60)
"""Whole rates that SMPTE time code counts. The library also takes 23, 29, 47 and 59, for 23.976 and so on."""


def export_timeline(plan: dict[str, Any]) -> dict[str, Any]:
    """Write `plan["out"]` ({"otio", "edl", "fcpxml"}: paths); times in `plan` are frames of `fps`.

    Returns {"skipped": {format: reason}} for formats that cannot carry the rate; those are not written.
    """
    otio.adapters.write_to_file(_timeline(plan), plan["out"]["otio"], "otio_json")
    Path(plan["out"]["fcpxml"]).write_bytes(_fcpxml(plan))
    if plan["fps"] not in TIMECODE_RATES:
        return {"skipped": {"edl": _no_timecode(plan["fps"])}}
    edl = otio.adapters.write_to_string(_for_edl(plan), "cmx_3600", rate=plan["fps"], reelname_len=_REEL)
    Path(plan["out"]["edl"]).write_text(edl, encoding="utf-8")
    return {"skipped": {}}


def _no_timecode(fps: int) -> str:
    *most, last = map(str, TIMECODE_RATES)
    rates = f"{', '.join(most)} or {last}"
    return f"An EDL counts time at {rates} frames per second; this film has {fps}. OTIO and FCPXML carry it."


def _timeline(plan: dict[str, Any]) -> otio.schema.Timeline:
    timeline = otio.schema.Timeline(plan["title"], metadata={"studio": {"fps": plan["fps"]}})
    timeline.global_start_time = otio.opentime.RationalTime(0, plan["fps"])
    timeline.tracks.append(_picture(plan))
    timeline.tracks.extend(_voices(plan))
    if plan["music"]:
        music = otio.schema.Track("Music", kind=otio.schema.TrackKind.Audio)
        music.append(_clip("Music", plan["music"], plan["frames"], plan["fps"], {}))
        timeline.tracks.append(music)
    return timeline


def _for_edl(plan: dict[str, Any]) -> otio.schema.Timeline:
    """Return what CMX3600 can say: one picture track, cuts only."""
    timeline = otio.schema.Timeline(plan["title"])
    timeline.tracks.append(_picture(plan))
    return timeline


def _picture(plan: dict[str, Any]) -> otio.schema.Track:
    track = otio.schema.Track("Picture", kind=otio.schema.TrackKind.Video)
    for shot in plan["shots"]:
        about = {"shotId": shot["id"], "code": shot["code"]}
        track.append(_clip(shot["code"], shot["media"], shot["frames"], plan["fps"], about))
    return track


def _voices(plan: dict[str, Any]) -> list[otio.schema.Track]:
    """Return as many audio tracks as it takes to overlap nowhere."""
    tracks: list[tuple[otio.schema.Track, int]] = []
    for voice in _all_voices(plan):
        free = next((i for i, (_, end) in enumerate(tracks) if end <= voice["start"]), len(tracks))
        if free == len(tracks):
            name = f"Voices {free + 1}"
            tracks.append((otio.schema.Track(name, kind=otio.schema.TrackKind.Audio), 0))
        track, end = tracks[free]
        if voice["start"] > end:
            track.append(otio.schema.Gap(duration=_time(voice["start"] - end, plan["fps"])))
        about = {"text": voice["text"], "speaker": voice["speaker"]}
        track.append(_clip(voice["speaker"] or "Voice", voice["media"], voice["frames"], plan["fps"], about))
        tracks[free] = (track, voice["start"] + voice["frames"])
    return [track for track, _ in tracks]


def _all_voices(plan: dict[str, Any]) -> list[dict[str, Any]]:
    voices = [
        {**voice, "start": shot["start"] + voice["offset"]}
        for shot in plan["shots"]
        for voice in shot["voices"]
    ]
    return sorted(voices, key=lambda voice: voice["start"])


def _clip(name: str, media: str, frames: int, fps: int, about: dict[str, str]) -> otio.schema.Clip:
    span = otio.opentime.TimeRange(_time(0, fps), _time(frames, fps))
    reference = otio.schema.ExternalReference(media, available_range=span)
    return otio.schema.Clip(name, reference, span, metadata={"studio": about})


def _time(frames: int, fps: int) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(frames, fps)


def _fcpxml(plan: dict[str, Any]) -> bytes:
    """Return FCPXML 1.9: shots on the spine, voices and music as connected clips."""
    root = ET.Element("fcpxml", version="1.9")
    resources = ET.SubElement(root, "resources")
    _formats(resources, plan)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name=plan["title"])
    project = ET.SubElement(event, "project", name=plan["title"])
    length = _seconds(plan["frames"], plan["fps"])
    sequence = ET.SubElement(project, "sequence", format="r1", duration=length, tcStart="0s", audioRate="48k")
    spine = ET.SubElement(sequence, "spine")
    for number, shot in enumerate(plan["shots"]):
        element = _fcpx_shot(spine, resources, plan, shot, number)
        if number == 0 and plan["music"]:
            _connected(element, resources, plan, "Music", plan["music"], 0, plan["frames"], -2)
    ET.indent(root)
    body: bytes = ET.tostring(root, encoding="utf-8")
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n'
    return head + body + b"\n"


def _formats(resources: ET.Element, plan: dict[str, Any]) -> None:
    width, height = str(plan["width"]), str(plan["height"])
    ET.SubElement(resources, "format", id="r1", frameDuration=f"1/{plan['fps']}s", width=width, height=height)
    ET.SubElement(resources, "format", id="r2", name="FFVideoFormatRateUndefined", width=width, height=height)


def _fcpx_shot(
    spine: ET.Element, resources: ET.Element, plan: dict[str, Any], shot: dict[str, Any], number: int
) -> ET.Element:
    length, asset = _seconds(shot["frames"], plan["fps"]), f"v{number}"
    still = not shot["moving"]
    described = ET.SubElement(
        resources, "asset", id=asset, name=shot["code"], start="0s", hasVideo="1",
        duration="0s" if still else length, format="r2" if still else "r1",
    )  # fmt: skip
    ET.SubElement(described, "media-rep", kind="original-media", src=shot["media"])
    start = _seconds(shot["start"], plan["fps"])
    tag = "video" if still else "asset-clip"
    element = ET.SubElement(
        spine, tag, ref=asset, name=shot["code"], offset=start, start="0s", duration=length
    )
    for voice in shot["voices"]:
        name = voice["speaker"] or "Voice"
        _connected(element, resources, plan, name, voice["media"], voice["offset"], voice["frames"], -1)
    return element


def _connected(
    parent: ET.Element, resources: ET.Element, plan: dict[str, Any], name: str, media: str, offset: int,
    frames: int, lane: int,
) -> None:  # fmt: skip
    asset, length = f"a{len(resources)}", _seconds(frames, plan["fps"])
    described = ET.SubElement(
        resources, "asset", id=asset, name=name, start="0s", duration=length,
        hasAudio="1", audioSources="1", audioChannels="1", audioRate="48000",
    )  # fmt: skip
    ET.SubElement(described, "media-rep", kind="original-media", src=media)
    ET.SubElement(
        parent, "asset-clip", ref=asset, name=name, lane=str(lane), duration=length,
        offset=_seconds(offset, plan["fps"]), audioRole="dialogue" if lane == -1 else "music",
    )  # fmt: skip


def _seconds(frames: int, fps: int) -> str:
    return f"{frames}/{fps}s"
