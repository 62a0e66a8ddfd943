"""The application alive: each request, task and lease as it moves, live, from a recording, or as one page.

    with faafo_lab.record(app, "wave.jsonl") as recording:      # what happens to it, in a file
        ...
    known = Stream.of(app).listen(callback)                     # the same, live
    html = page.page([{"title": "A worker dies", "events": events}], "A worker dies")     # one file, for any browser
    svg = still.picture(events.scene_at(events, t))                                       # one moment

Its rooms:

    events     the kinds of events, and the scene that they change
    stream     a live application as one stream of events: following, scenes, reading, sent
    recording  a run's events in a file
    cutting    a part of a stream, and what has to be known at its beginning
    following  a look at cloud and application about once a second
    scenes     what a look saw, as a scene
    reading    what the application says of its tasks
    sent       the requests of this process's load
    moments    what is so at one moment: tasks at work, throughput
    still      one moment, as SVG and in words
    page       recordings as one self-contained page, or as a part of an exported notebook
    living.js, living.css      the picture that moves
"""
