"""The application alive: each request, task and lease as it moves, live, from a recording, or as one page.

    html = page.page([{"title": "A worker dies", "events": events}], "A worker dies")     # one file, for any browser
    svg = still.picture(events.scene_at(events, t))                                       # one moment

Its rooms:

    events     the kinds of events, and the scene that they change
    moments    what is so at one moment: tasks at work, throughput
    still      one moment, as SVG and in words
    page       recordings as one self-contained page, or as a part of an exported notebook
    living.js, living.css      the picture that moves
"""
