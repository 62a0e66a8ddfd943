/**
 * The living picture: every request, task and lease of a running application, or of recordings of it.
 *
 *     const shown = mount(element, {panes: [{title, events}], live: false, actions: [], label: "", act});
 *     shown.player.seek(12.5); shown.player.play(); shown.close();
 *
 * Events become a `Story`; the state of a story at a time depends on nothing but its events until then, so seeking
 * shows what watching shows. Rooms, in this order: colours and constants · merge · story · layout · drawing · pane ·
 * player · controls · mount · anywidget's render.
 */

// -- colours and constants --------------------------------------------------------------------------------------------

export const DELAY_SECONDS = 1.5; // live: shown so far behind the clock, so that all of a moment has arrived
export const KEPT_SECONDS = 300; // live: so much can be seen again
export const SILENCE_SECONDS = 1; // live: the clock runs on for so long where nothing is heard of the kernel
export const TRAVEL_SECONDS = 0.7; // on the screen: what a dot takes for a way, so that eyes can follow
export const TRAVEL_STRETCH_MOST = 2; // at a greater speed than that, dots are quicker
export const FLOW_PER_SECOND = 40; // on the screen: more than that on a way, dots nearly touch: it becomes a flow
export const DOTS_MOST = 500; // more than that at once, in all panes: the rest is drawn as flows
export const SPEEDS = [0.1, 0.25, 1, 2, 5];
const TAIL_SECONDS = 1.5; // after a recording's last event, so that what moves arrives
const RATE_SECONDS = 5; // fractals per second are counted over so much
const LINE_SECONDS = 60; // what the line of throughput shows
const LINE_STEPS = 60;
const NOTE_SECONDS = 6; // a note is shown for so long
const PRUNE_SECONDS = 0.1;
const SNAPSHOT_ITEMS = 400;
const SLOW_MS = 120; // words and numbers are written anew no more often than that
const FORGET_MS = 10_000;
const CALM_MS = 1000; // and all of it, where less motion is preferred
const BLOCKS_MOST = 40; // of the stack that is the queue; more have a scale
const WAITING_DOTS_MOST = 4; // at one place; more are a number
const TASKS_MOST = 5; // at one worker; more are a number
const GONE_MOST = 2; // at workers that are gone
const ABREAST = [0, 8, -8]; // pixels beside their way, of dots that would lie on each other
const NEAR = 1 / 60; // part of a way's time
const ORDERS_LISTED = 50;
const HISTORY_LINES = 14;
const NEAR_PX = 13; // of a dot: the pointer is on it

// Okabe and Ito's colours, as in `plots`.
const BLUE = "#0072B2", ORANGE = "#E69F00", GREEN = "#009E73", RED = "#D55E00", PURPLE = "#CC79A7", SKY = "#56B4E9";

/** What moves. Each kind has a colour, a shape of its own, and words. */
export const KINDS = {
  asked: {colour: BLUE, shape: "ring", words: "request"},
  good: {colour: GREEN, shape: "disc", words: "answer (2xx)"},
  refused: {colour: ORANGE, shape: "triangle", words: "refused (4xx)"},
  error: {colour: RED, shape: "diamond", words: "error (5xx)"},
  none: {colour: PURPLE, shape: "cross", words: "no answer"},
  task: {colour: SKY, shape: "square", words: "order, task"},
  back: {colour: RED, shape: "hollow", words: "task comes back"},
  result: {colour: GREEN, shape: "star", words: "result"},
  dropped: {colour: PURPLE, shape: "slashed", words: "result too late"},
  dead: {colour: RED, shape: "crossed", words: "dead letter"},
};

/** Ways, from column to column, in words. */
export const WAYS = {
  ask: "requests", answer: "answers", store: "orders to the database", queue: "tasks into the queue",
  lease: "tasks to workers", result: "results", return: "tasks that come back",
};
const WAY_COLOURS = {
  ask: BLUE, answer: GREEN, store: GREEN, queue: GREEN, lease: ORANGE, result: BLUE, return: RED,
};

/** The answers that are none a client hopes for. */
const FAILURES = ["refused", "error", "none"];

/** What the application says of a task, in words. */
const SAID = {
  accepted: "accepted: in the database", queued: "in the queue", missing: "lost by the queue: in the database again",
  leased: "leased by", renewed: "lease renewed by", lost: "lease over, taken back from", retry: "cannot be made by",
  failed: "given up: a dead letter", anew: "ordered again", done: "done by", late: "second result dropped, of",
  deleted: "deleted",
};

/** How an answer is drawn: by its status, or its absence. */
export function kindOf(status) {
  if (status === null || status === undefined) return "none";
  return status < 400 ? "good" : status < 500 ? "refused" : "error";
}

// -- scene and merge --------------------------------------------------------------------------------------------------

const isObject = value => value !== null && typeof value === "object" && !Array.isArray(value);

/** JSON merge patch (RFC 7396): a new object; neither argument changes. */
export function merge(target, patch) {
  if (!isObject(patch)) return patch;
  const merged = isObject(target) ? {...target} : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key === "__proto__") continue;
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}

// -- story ------------------------------------------------------------------------------------------------------------

/** Insert into an array sorted by `t`, after its equals; returns the place. */
function insert(array, item) {
  let at = array.length;
  while (at > 0 && array[at - 1].t > item.t) at -= 1;
  if (at === array.length) array.push(item);
  else array.splice(at, 0, item);
  return at;
}

/** The first place in an array sorted by `t` whose time is later. */
function after(array, t) {
  let low = 0, high = array.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (array[middle].t > t) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * What is known at one time.
 *
 * `orders`: uuid → {uuid, where: "database"|"queue"|"worker"|"dead", at (a place), worker, since, leased, free}; `free`
 * is when its dot has arrived. `asked`: id → {e, at, arrive, flow}: requests without an answer so far. `hops`: what
 * moves, or has begun to within a second: {way, kind, from, to, via, start, end, flow, track, e}.
 */
class State {
  constructor() {
    this.next = 0; // of the story's items
    this.scene = {};
    this.orders = new Map();
    this.asked = new Map();
    this.hops = [];
    this.dots = 0;
    this.rings = new Map(); // way → the times of its latest hops
    this.pruned = -Infinity;
    this.counts = {waiting: 0, working: 0, done: 0, failed: 0};
    this.unseen = 0; // tasks that wait, of which no event was seen
    this.fresh = true; // the next counts tell of those
    this.gap = null;
  }

  copy() {
    const state = Object.assign(new State(), this);
    state.orders = new Map(this.orders);
    state.asked = new Map(this.asked);
    state.hops = this.hops.slice();
    state.rings = new Map([...this.rings].map(([way, ring]) => [way, {...ring, times: ring.times.slice()}]));
    state.counts = {...this.counts};
    return state;
  }
}

/** Events in the order of their times, and the state at any time, as it is shown at this speed with so many dots. */
export class Story {
  constructor({speed = 1, dots = DOTS_MOST} = {}) {
    this.most = dots;
    this._pace(speed);
    this.items = []; // {t, what: "scene"|"begin"|"end"|"task"|"note"|"gap", e}
    this.notes = [];
    this.gaps = [];
    this.made = []; // {t}: when results came
    this.lives = new Map(); // uuid → its events
    this.start = Infinity;
    this.end = -Infinity;
    this.late = 0;
    this.base = new State();
    this.snapshots = [];
    this.cursor = null;
  }

  /** Take events in, which may be in any order; `shown`: up to where the story was shown already. Returns how many
   * came too late to be drawn in their place. */
  add(events, shown = -Infinity) {
    let late = 0;
    for (const e of events) {
      const last = e.k === "request" ? e.end : e.t;
      if (e.k !== "scene" && last < shown) late += 1;
      const first = e.k === "gap" ? e.from : e.t;
      this.start = Math.min(this.start, first);
      this.end = Math.max(this.end, last);
      this._index(e);
      if (e.k === "request") {
        this._insert({t: e.t, what: "begin", e});
        this._insert({t: e.end, what: "end", e});
      } else this._insert({t: first, what: e.k, e});
    }
    this.late += late;
    return late;
  }

  _index(e) {
    if (e.k === "note") insert(this.notes, {t: e.t, e});
    if (e.k === "gap") insert(this.gaps, {t: e.from, e});
    if (e.k === "task" && e.what === "done") insert(this.made, {t: e.t});
    if (!e.uuid) return;
    if (!this.lives.has(e.uuid)) this.lives.set(e.uuid, []);
    insert(this.lives.get(e.uuid), {t: e.t, e});
  }

  _insert(item) {
    const at = insert(this.items, item);
    while (this.snapshots.length && this.snapshots.at(-1).next > at) this.snapshots.pop();
    if (this.cursor && this.cursor.next > at) this.cursor = null;
  }

  /** Of a slower one eyes can follow more, and more exactly. */
  setSpeed(speed) {
    if (speed === this.speed) return;
    this._pace(speed);
    this.snapshots = [];
    this.cursor = null;
  }

  _pace(speed) {
    this.speed = speed;
    this.travel = TRAVEL_SECONDS * Math.min(TRAVEL_STRETCH_MOST, speed); // the story's seconds
  }

  /** Forget what was before, as far as nothing later needs it. */
  forget(before) {
    let state = null;
    while (this.snapshots.length && this._time(this.snapshots[0]) < before) state = this.snapshots.shift();
    if (!state) return;
    const gone = state.next;
    this.items.splice(0, gone);
    this.base = state;
    for (const each of [state, ...this.snapshots, ...(this.cursor ? [this.cursor] : [])]) each.next -= gone;
    if (this.cursor && this.cursor.next < 0) this.cursor = null;
    for (const list of [this.notes, this.gaps, this.made]) list.splice(0, after(list, before - LINE_SECONDS));
    for (const [uuid, life] of this.lives) {
      if (life.at(-1).t < before && !state.orders.has(uuid)) this.lives.delete(uuid);
    }
  }

  _time(state) {
    return state.next > 0 ? this.items[state.next - 1].t : -Infinity;
  }

  /** The state at this time. It changes with the next call: copy what has to stay. */
  at(t) {
    if (!this.cursor || this._time(this.cursor) > t) {
      let index = this.snapshots.length;
      while (index > 0 && this._time(this.snapshots[index - 1]) > t) index -= 1;
      this.cursor = (index > 0 ? this.snapshots[index - 1] : this.base).copy();
    }
    const state = this.cursor, items = this.items;
    while (state.next < items.length && items[state.next].t <= t) {
      const item = items[state.next];
      state.next += 1;
      this._fold(state, item);
      const kept = this.snapshots.length ? this.snapshots.at(-1).next : 0;
      if (state.next >= kept + SNAPSHOT_ITEMS) this.snapshots.push(state.copy());
    }
    return state;
  }

  /** What happens next (not only a measurement), or null. */
  nextAfter(t) {
    for (let at = after(this.items, t + 1e-6); at < this.items.length; at += 1) {
      if (this.items[at].what !== "scene") return this.items[at];
    }
    return null;
  }

  /** What happened last until then (not only a measurement), or null. */
  latest(t) {
    for (let at = after(this.items, t + 1e-6) - 1; at >= 0; at -= 1) {
      if (this.items[at].what !== "scene") return this.items[at];
    }
    return null;
  }

  /** The events of an order until then. */
  life(uuid, t) {
    return (this.lives.get(uuid) ?? []).filter(item => item.t <= t).map(item => item.e);
  }

  /** Fractals per second over the seconds before; null where that is not known. */
  rate(t) {
    const since = Math.max(t - RATE_SECONDS, this.start);
    if (t - since < 1) return null;
    for (const {e} of this.gaps) if (e.from < t && e.t > since) return null;
    return (after(this.made, t) - after(this.made, since)) / (t - since);
  }

  // What each item changes

  _fold(state, {t, what, e}) {
    if (t >= state.pruned + PRUNE_SECONDS) {
      state.pruned = t;
      state.hops = state.hops.filter(hop => Math.max(hop.end, hop.start + 1) > t);
      state.dots = state.hops.reduce((sum, hop) => sum + (!hop.flow && hop.end > t ? 1 : 0), 0);
    }
    if (what === "scene") this._scene(state, e);
    else if (what === "begin") this._begin(state, e);
    else if (what === "end") this._end(state, e);
    else if (what === "task") this._task(state, e);
    else if (what === "gap") {
      state.gap = e;
      state.fresh = true;
    }
  }

  _scene(state, e) {
    state.scene = merge(state.scene, e.patch);
    if (!e.patch.counts) return;
    for (const name of Object.keys(state.counts)) state.counts[name] = state.scene.counts?.[name] ?? state.counts[name];
    // A count is a little older than its time, so later it can only show that fewer are unseen; unless there was a gap.
    const unseen = Math.max(0, state.counts.waiting - waiting(state));
    state.unseen = state.fresh ? unseen : Math.min(state.unseen, unseen);
    state.fresh = false;
  }

  /** A dot's journey. It begins when the thing happens, but not before the dot is there; one that lags is quicker. */
  _hop(state, t, free, hop) {
    const start = Math.max(t, free);
    const lag = start - t;
    hop.start = start;
    hop.end = start + (this.travel * (SHARES[hop.way] ?? 1)) / (1 + lag / this.travel);
    const way = hop.via ? hop.way : `${hop.way} ${hop.from} ${hop.to}`; // what a balancer passes on shares a line
    let ring = state.rings.get(way);
    if (!ring) {
      ring = {at: 0, times: new Float64Array(FLOW_PER_SECOND).fill(-Infinity), track: 0};
      state.rings.set(way, ring);
    }
    const before = ring.times[(ring.at || FLOW_PER_SECOND) - 1];
    ring.track = Math.abs(start - before) < NEAR * this.travel ? (ring.track + 1) % ABREAST.length : 0;
    hop.track = ring.track;
    hop.flow = start - ring.times[ring.at] < this.speed || this._crowded(state, start);
    ring.times[ring.at] = start;
    ring.at = (ring.at + 1) % FLOW_PER_SECOND;
    if (!hop.flow) state.dots += 1;
    state.hops.push(hop);
    return hop.end;
  }

  /** Whether as many dots move then as may. (`state.dots` counts those, too, that just ended or have yet to begin.) */
  _crowded(state, t) {
    if (state.dots < this.most) return false;
    let dots = 0;
    for (const hop of state.hops) dots += !hop.flow && hop.start <= t && hop.end > t ? 1 : 0;
    return dots >= this.most;
  }

  _begin(state, e) {
    const gate = e.status === null || e.status === undefined ? shutGate(state.scene, "you", e.to) : "";
    const to = gate ? `gate ${gate}` : e.to || "api";
    const arrive = this._hop(state, e.t, e.t, {way: "ask", kind: "asked", from: "you", to, via: !!e.via, e});
    state.asked.set(e.id, {e, at: to, arrive, flow: state.hops.at(-1).flow});
  }

  _end(state, e) {
    const asked = state.asked.get(e.id);
    state.asked.delete(e.id);
    const from = asked?.at ?? (e.to || "api");
    this._hop(state, e.end, asked?.arrive ?? e.end,
      {way: "answer", kind: kindOf(e.status), from, to: "you", via: !!e.via, e});
  }

  _task(state, e) {
    const {uuid, what, t} = e;
    let order = state.orders.get(uuid);
    const known = !!order;
    if (!order) order = {uuid, where: "", at: "", worker: "", since: t, leased: 0, free: t};
    const worker = e.worker ?? order.worker;
    const moved = (where, at, way, kind, more = {}) => {
      const from = order.at || (where === "database" ? "api" : "queue");
      const free = this._hop(state, t, order.free, {way, kind, from, to: at, via: false, e});
      this._count(state, known, order.where, where, what);
      state.orders.set(uuid, {...order, where, at, since: t, free, ...more});
    };
    if (what === "accepted") {
      for (const each of state.asked.values()) {
        if (each.e.uuid === uuid) order = {...order, free: Math.max(each.arrive, t)};
      }
      order = {...order, at: this._api(state, uuid, t)};
      moved("database", "database", "store", "task");
    } else if (what === "queued") {
      if (!order.where || order.where === "database") moved("queue", "queue", "queue", "task");
    } else if (what === "leased") {
      moved("worker", worker, "lease", "task", {worker, leased: t});
    } else if (what === "renewed") {
      if (order.where === "worker" && order.worker === worker) state.orders.set(uuid, {...order, leased: t});
      else if (!known) {
        state.orders.set(uuid, {...order, where: "worker", at: worker, worker, leased: t});
      }
    } else if (what === "lost" || what === "retry") {
      if (!order.at) order = {...order, at: worker};
      moved("database", "database", "return", "back", {worker: ""});
    } else if (what === "missing") moved("database", "database", "return", "back");
    else if (what === "anew") moved("database", "database", "return", "task");
    else if (what === "failed") {
      if (!order.at) order = {...order, at: worker};
      moved("dead", "dead", "return", "dead", {worker: ""});
    } else if (what === "done" || what === "late") {
      const free = order.at === worker ? order.free : t;
      this._hop(state, t, free, {
        way: "result", kind: what === "done" ? "result" : "dropped", from: worker || order.at || "queue",
        to: "results", via: false, e,
      });
      if (what === "late") return;
      this._count(state, known, order.where, "done", what);
      state.orders.delete(uuid);
    } else if (what === "deleted") {
      this._count(state, known, order.where, "", what);
      state.orders.delete(uuid);
    }
  }

  /** The API that was asked for this order; "api" where that is not known, as behind a load balancer. */
  _api({scene}, uuid, t) {
    const asked = (this.lives.get(uuid) ?? []).find(({e}) => e.k === "request" && scene.servers?.[e.to] && e.t <= t);
    return asked ? asked.e.to : "api";
  }

  /** One order changes its place. Of one that was never heard of, `what` tells where it was. */
  _count(state, known, from, to, what) {
    const before = known ? PLACES[from] : {leased: "waiting", done: "working", lost: "working", retry: "working"}[what];
    if (!known && before === "waiting") state.unseen = Math.max(0, state.unseen - 1);
    if (before) state.counts[before] = Math.max(0, state.counts[before] - 1);
    if (PLACES[to]) state.counts[PLACES[to]] += 1;
  }
}

const SHARES = {store: 0.7, queue: 0.8, lease: 0.8}; // of a way's time: these are short
const PLACES = {database: "waiting", queue: "waiting", worker: "working", dead: "failed", done: "done"};

/** The key of a gate that is shut on the way to this server ("": to any), or "". */
export function shutGate(scene, from, to) {
  const role = scene.servers?.[to]?.role;
  const gates = Object.entries(scene.gates ?? {}).filter(([, gate]) => {
    return gate.from === from && (!role || gate.to === role) && gate.port === 80;
  });
  return gates.length && gates.every(([, gate]) => !gate.open) ? gates[0][0] : "";
}

/** How many orders wait, of those that were heard of. */
function waiting(state) {
  let number = 0;
  for (const {where} of state.orders.values()) number += where === "database" || where === "queue" ? 1 : 0;
  return number;
}

/** What moves at this time: {dots, flows, ways: {way: {dots, flows, rate, failed}}}. `rate`: begun within the last
 * second, and `failed`: those of them that are no success. */
export function moving(state, t) {
  const all = {dots: 0, flows: 0, ways: {}};
  for (const hop of state.hops) {
    if (hop.start > t) continue;
    const way = (all.ways[hop.way] ??= {dots: 0, flows: 0, rate: 0, failed: 0});
    if (hop.start > t - 1) {
      way.rate += 1;
      if (FAILURES.includes(hop.kind)) way.failed += 1;
    }
    if (hop.end <= t) continue;
    const how = hop.flow ? "flows" : "dots";
    way[how] += 1;
    all[how] += 1;
  }
  return all;
}

// -- layout -----------------------------------------------------------------------------------------------------------

export const VERTICAL_BELOW = 700; // pixels: narrower, it goes from top to bottom
const COLUMNS = ["API", "Services", "Workers"];
const GAP = 12, PAD = 10, TITLE = 26, YOU = 62, BUS = 20;
const BOX = 94, SMALL_BOX = 62; // heights
const DATABASE = 44, QUEUE = 104, TEXT = 78, FLOATING = 15, TASKS = 28; // of a box that has them
const STEP_PX = 6; // of a way
const CORNER_PX = 10;
const BAND_MARK_PX = 15;
const ONE_FOR_ALL = ["all-in-one", "controller"];

const inOrder = (a, b) => a.localeCompare(b, "en", {numeric: true});

/** Which servers are in which lane, and which have database and queue. */
function arrange(scene) {
  const servers = scene.servers ?? {};
  const names = Object.keys(servers).sort(inOrder);
  const lanes = [];
  if (scene.front && names.length) lanes.push({id: "front", title: "Load balancer", names: [scene.front.name]});
  for (const column of COLUMNS) {
    const here = names.filter(name => servers[name].column === column);
    if (!here.length) continue;
    const roles = new Set(here.map(name => servers[name].role));
    const one = roles.size === 1 ? [...roles][0] : "";
    const title = {"all-in-one": "All in one", controller: "Controller"}[one] ?? (column === "API" ? "APIs" : column);
    lanes.push({id: column, title, names: here});
  }
  const having = part => {
    const has = name => (servers[name].offers ?? []).includes(part) || ONE_FOR_ALL.includes(servers[name].role);
    return names.find(name => servers[name].column === "Services" && has(name)) ?? names.find(has) ?? "";
  };
  return {lanes, servers, queue: having("queue"), database: having("database") || having("queue")};
}

/**
 * Where everything is, in pixels: a pure function of the scene and the width.
 *
 * Inside, places are along the main direction `m` (as a request goes) and across it, `c`: (x, y), or (y, x) where it
 * goes from top to bottom.
 */
export function layout(scene, width) {
  const found = arrange(scene);
  const across = width >= VERTICAL_BELOW ? spread(found, width) : null;
  return new Layout(scene, found, width, across);
}

/** Sizes for left to right, or null where there is no room for that. */
function spread({lanes}, width) {
  const narrow = width < 900;
  const pad = narrow ? 12 : 24;
  const rows = lanes.map(lane => (lane.names.length > 4 ? 8 : 4));
  const lines = lanes.map((lane, at) => Math.ceil(lane.names.length / rows[at]));
  const total = lines.reduce((sum, each) => sum + each, 0);
  let gap = narrow ? 30 : 38;
  const fixed = YOU + lanes.length * (gap + 2 * pad) + (total - lanes.length) * GAP + 2;
  const box = Math.min(176, (width - fixed) / Math.max(1, total));
  if (box < 112) return null;
  if (lanes.length) gap += Math.min(80, (width - fixed - box * total) / lanes.length);
  return {pad, gap, box, rows};
}

export class Layout {
  constructor(scene, found, width, across) {
    this.scene = scene;
    this.vertical = !across;
    this.width = width;
    this.queueServer = found.queue;
    this.databaseServer = found.database;
    this.boxes = new Map(); // name → {m0, m1, c0, c1, small, lane, line}
    this.parts = {}; // "database", "queue" → {m0, m1, c0, c1}
    this.gates = new Map(); // key → {m, c, side, gate}
    this.lanes = [];
    this.paths = new Map();
    this.returns = found.lanes.some(lane => lane.id === "Workers");
    if (across) this._wide(found, across);
    else this._tall(found);
    this._gates(scene.gates ?? {});
  }

  _hub(name) {
    return name === this.queueServer || name === this.databaseServer;
  }

  /** How much of a box its words take. */
  _text(name) {
    return TEXT + (this.scene.servers?.[name]?.column === "API" ? FLOATING : 0);
  }

  _wide({lanes, servers}, {pad, gap, box, rows}) {
    const height = (lane, name, small) => {
      if (!this._hub(name)) return small ? SMALL_BOX : BOX;
      const tasks = servers[name].role === "all-in-one" ? TASKS : 0;
      return this._text(name) + (name === this.databaseServer ? DATABASE + 8 : 0)
        + (name === this.queueServer ? QUEUE + 8 : 0) + tasks;
    };
    let tallest = 200;
    const laid = lanes.map((lane, at) => {
      const small = lane.names.length > 4;
      const lines = [];
      for (let from = 0; from < lane.names.length; from += rows[at]) {
        lines.push(lane.names.slice(from, from + rows[at]));
      }
      const deep = lines.map(line => line.reduce((sum, name) => sum + height(lane, name, small) + GAP, -GAP));
      tallest = Math.max(tallest, ...deep);
      return {lane, small, lines, deep};
    });
    const c1 = TITLE + tallest + 2 * PAD;
    this.middle = TITLE + PAD + tallest / 2;
    const lines = laid.reduce((sum, each) => sum + each.lines.length, 0);
    const whole = YOU + lanes.length * (gap + 2 * pad) + lines * (box + GAP) - lanes.length * GAP + 2;
    const left = Math.max(0, (this.width - whole) / 2);
    this.you = {m0: left + 2, m1: left + YOU, c0: this.middle - 46, c1: this.middle + 46};
    let m = this.you.m1 + gap;
    for (const {lane, small, lines, deep} of laid) {
      const own = {...lane, m0: m, c0: 1, c1, pad};
      m += pad;
      lines.forEach((line, number) => {
        let c = this.middle - (lines.length > 1 ? Math.max(...deep) : deep[number]) / 2;
        for (const name of line) {
          this._place(name, {m0: m, m1: m + box, c0: c, c1: c + height(lane, name, small), small, line: number}, own);
          c += height(lane, name, small) + GAP;
        }
        m += box + (number < lines.length - 1 ? GAP : 0);
      });
      m += pad;
      own.m1 = m;
      this.lanes.push(own);
      m += gap;
    }
    this.bus = c1 + BUS;
    this.height = c1 + (this.returns ? 2 * BUS - 4 : 4);
  }

  _tall({lanes, servers}) {
    const c1 = this.width - (this.returns ? 2 * BUS : 2);
    this.middle = c1 / 2;
    this.you = {m0: 2, m1: 58, c0: this.middle - 60, c1: this.middle + 60};
    this.bus = this.width - 14;
    const gap = 34, pad = 16;
    let m = this.you.m1 + gap;
    for (const lane of lanes) {
      const own = {...lane, m0: m, c0: 1, c1, pad};
      m += TITLE;
      const inner = Math.min(440, c1 - 1 - 2 * PAD);
      const small = lane.names.length > 4;
      const each = Math.max(1, Math.floor((inner + GAP) / (128 + GAP)));
      const hub = lane.names.some(name => this._hub(name));
      const perLine = hub ? 1 : Math.min(each, lane.names.length);
      const box = hub ? inner : Math.min(200, (inner - (perLine - 1) * GAP) / perLine);
      for (let from = 0; from < lane.names.length; from += perLine) {
        const line = lane.names.slice(from, from + perLine);
        let c = this.middle - (perLine * (box + GAP) - GAP) / 2;
        const tasks = servers[line[0]]?.role === "all-in-one" ? TASKS : 0;
        const high = this._hub(line[0]) ? DATABASE + QUEUE + 24 + tasks : small ? SMALL_BOX : BOX;
        for (const name of line) {
          this._place(name, {m0: m, m1: m + high, c0: c, c1: c + box, small, line: from / perLine}, own);
          c += box + GAP;
        }
        m += high + GAP;
      }
      m += pad - GAP;
      own.m1 = m;
      this.lanes.push(own);
      m += gap;
    }
    this.height = m - gap + 4;
  }

  _place(name, box, lane) {
    this.boxes.set(name, {...box, lane});
    const {m0, m1, c0, c1} = box;
    let at = this.vertical ? m0 + 8 : c0 + this._text(name);
    for (const [part, size] of [["database", DATABASE], ["queue", QUEUE]]) {
      if (this[`${part}Server`] !== name) continue;
      this.parts[part] = this.vertical
        ? {m0: at, m1: at + size, c0: c0 + Math.min(150, (c1 - c0) * 0.46), c1: c1 - 8}
        : {m0: m0 + 8, m1: m1 - 8, c0: at, c1: at + size};
      at += size + 8;
    }
  }

  // Gates: on the lane's side from which one comes

  _gates(gates) {
    const sides = new Map();
    for (const [key, gate] of Object.entries(gates).sort(([a], [b]) => inOrder(a, b))) {
      const to = this._laneOf(gate.to), from = gate.from === "you" ? null : this._laneOf(gate.from);
      if (!to || (gate.from !== "you" && !from) || to === from) continue;
      const back = !!from && from.m0 > to.m0;
      const side = back && gate.port === 80 ? "end" : back ? "out" : "in";
      const part = {5432: "database", 6379: "queue", 5672: "queue"}[gate.port];
      const lane = side === "end" ? this._taker() : to;
      let c = this.middle;
      if (part && this.parts[part]) c = (this.parts[part].c0 + this.parts[part].c1) / 2;
      const place = {key, gate, side, lane, m: side === "in" ? lane.m0 : lane.m1, c};
      if (side === "end") Object.assign(place, {m: (lane.m0 + lane.m1) / 2, c: lane.c1});
      this.gates.set(key, place);
      const list = sides.get(`${lane.id} ${side}`) ?? [];
      list.push(place);
      sides.set(`${lane.id} ${side}`, list);
    }
    const apart = this.vertical ? 96 : 44;
    for (const list of sides.values()) {
      list.sort((a, b) => a.c - b.c || a.gate.port - b.gate.port);
      for (let at = 1; at < list.length; at += 1) {
        const short = list[at - 1].c + apart - list[at].c;
        if (short <= 0) continue;
        list[at - 1].c -= this.vertical ? short / 2 : 0;
        list[at].c += this.vertical ? short / 2 : short;
      }
    }
  }

  _laneOf(role) {
    return this.lanes.find(lane => lane.names.some(name => this.scene.servers?.[name]?.role === role));
  }

  /** The lane to which workers send results. */
  _taker() {
    return this.lanes.find(lane => lane.id === "front") ?? this.lanes.find(lane => lane.id === "API") ?? this.lanes[0];
  }

  /** The gate between two roles of this port; null: of any but 80 and `not`. */
  gateOf(from, to, port, not = 80) {
    for (const place of this.gates.values()) {
      const {gate} = place;
      const fits = port === null ? gate.port !== 80 && gate.port !== not : gate.port === port;
      if (gate.from === from && gate.to === to && fits) return place;
    }
    return null;
  }

  // Ways: lists of [m, c], then points in pixels

  /** Points of the way, as x, y, x, y …, evenly apart; null where there is none. */
  path(from, to, via) {
    const key = `${from}>${to}${via ? " via" : ""}`;
    let points = this.paths.get(key);
    if (points === undefined) {
      const route = this._route(from, to, via);
      points = route ? this._sampled(route) : null;
      if (points) points.key = key;
      this.paths.set(key, points);
    }
    return points;
  }

  _route(from, to, via) {
    if (to === "you") {
      const there = this._route("you", from, via);
      return there && {...there, points: there.points.slice().reverse(), aside: 4};
    }
    if (from === "you") return {points: this._toServer(to, via), aside: 4};
    if (to === "results") return {points: this._results(from), sharp: this.boxes.get(from)?.lane.id === "Workers"};
    const worker = name => this.boxes.has(name) || !["database", "queue", "dead", "api"].includes(name);
    if (worker(to) && !worker(from)) return {points: this._toWorker(from, to)};
    if (to === "database" || to === "dead") {
      if (worker(from) && !this.boxes.has(from)) return {points: [this._spot("gone"), this._spot(to)], aside: 5};
      if (this.boxes.get(from)?.lane.id === "Workers") return {points: this._toWorker(to, from).reverse(), aside: 5};
    }
    if (from === "database" && to === "queue") return this._published();
    if (to === "database" && (worker(from) || from === "api")) return {points: this._toDatabase(from)};
    return {points: [this._spot(from), this._spot(to)], aside: from === "queue" || from === "dead" ? 6 : 0};
  }

  /** A place's middle. "dead" and "gone" are in the queue's lower corners: dead letters, and what the queue has leased
   * to a worker that is not there any more. */
  _spot(name) {
    const corner = name === "dead" || name === "gone";
    const box = this.parts[corner ? "queue" : name] ?? this.boxes.get(name);
    if (!box) return [this.lanes[0] ? (this.lanes[0].m0 + this.lanes[0].m1) / 2 : 0, this.middle];
    if (name === "gone") return this._slot(box);
    if (name === "dead") return this.vertical ? [box.m1 - 11, box.c0 + 12] : [box.m0 + 12, box.c1 - 11];
    return [(box.m0 + box.m1) / 2, (box.c0 + box.c1) / 2];
  }

  _toServer(to, via) {
    const points = [[this.you.m1, this.middle]];
    const front = this.lanes.find(lane => lane.id === "front");
    const stop = to.startsWith("gate ") ? this.gates.get(to.slice(5)) : null;
    const box = this.boxes.get(to);
    if (front && via) points.push(...this._through(front.names[0]));
    else if (front) {
      const c = front.c0 + (this.vertical ? 22 : (this.middle - front.c0) * 0.4);
      points.push([front.m0 - 4, c], [front.m1 + 4, c]);
    }
    if (stop) return [...points, [stop.m - 9, stop.c]];
    if (!box) {
      const lane = this.lanes.find(each => each.id === "API") ?? this.lanes[0];
      if (!lane) return [...points, [this.you.m1 + 40, this.middle]];
      const gate = this.gateOf("you", "api", 80);
      return [...points, gate ? [gate.m + 6, gate.c] : [lane.m0 + 6, this.middle]];
    }
    if (box.lane.id === "front") return [points[0], [box.m0, this._centre(box)]];
    const gate = this.gateOf("you", this.scene.servers[to].role, 80);
    if (gate) points.push([gate.m, gate.c]);
    return [...points, ...this._entry(box)];
  }

  _through(name) {
    const box = this.boxes.get(name);
    return [[box.m0, this._centre(box)], [box.m1, this._centre(box)]];
  }

  _centre({c0, c1}) {
    return (c0 + c1) / 2;
  }

  /** From the lane's first edge to a box: between those of the lines before. */
  _entry(box) {
    const end = [box.m0, this._centre(box)];
    if (!box.line) return [end];
    const beside = box.c0 - GAP / 2;
    return [[box.lane.m0 + box.lane.pad - 2, beside], [box.m0 - GAP / 2 - 2, beside], end];
  }

  _toDatabase(from) {
    const part = this.parts.database, box = this.boxes.get(from);
    if (!part) return [this._spot(from), this._spot("database")];
    const into = [this.vertical ? part.m0 : part.m0, (part.c0 + part.c1) / 2];
    const hub = this.boxes.get(this.databaseServer);
    const lane = box?.lane ?? this.lanes.find(each => each.id === "API");
    if (!lane) return [into, into];
    if (box === hub) return [[box.m0 + 4, this._centre(box)], this._spot("database")];
    if (lane === hub.lane) return [box ? [box.m1, this._centre(box)] : [lane.m0, this.middle], this._spot("database")];
    const gate = this.gateOf("api", this.scene.servers[this.databaseServer]?.role, 5432);
    const door = gate ? [gate.m, gate.c] : [hub.lane.m0, into[1]];
    const leave = box ? [box.m1, this._centre(box)] : [lane.m1, this.middle];
    const out = box && box.m1 < lane.m1 - lane.pad - 2
      ? [leave, [box.m1 + GAP / 2 + 2, box.c1 + GAP / 2], [lane.m1 - lane.pad + 2, box.c1 + GAP / 2]] : [leave];
    return [...out, door, into];
  }

  /** From the database into the queue: an API reads the order there, and sends its message. */
  _published() {
    const {database, queue} = this.parts, {servers} = this.scene;
    const straight = {points: [this._spot("database"), this._spot("queue")]};
    if (!database || !queue) return straight;
    const out = this.gateOf("api", servers[this.databaseServer]?.role, 5432);
    const into = this.gateOf("api", servers[this.queueServer]?.role, null, 5432);
    const lane = this.lanes.find(each => each.id === "API");
    if (!out || !into || !lane) return straight;
    const turn = lane.m1 - 3, aside = this.vertical ? 8 : 0;
    return {points: [
      [database.m0, (database.c0 + database.c1) / 2 + aside], [out.m, out.c + 5], [turn + 12, out.c + 5],
      [turn, (out.c + into.c) / 2], [turn + 12, into.c], [into.m, into.c],
      [queue.m0, (queue.c0 + queue.c1) / 2],
    ], sharp: true};
  }

  _toWorker(from, to) {
    const part = this.parts[from === "dead" || from === "api" ? "queue" : from] ?? this.parts.queue;
    const box = this.boxes.get(to);
    const start = from === "dead" ? this._spot("dead")
      : part ? [part.m1, (part.c0 + part.c1) / 2] : [this.you.m1, this.middle];
    const hub = this.boxes.get(this.queueServer);
    const lane = box?.lane ?? this.lanes.find(each => each.id === "Workers");
    if (!lane || !hub) return [start, [start[0] + 30, start[1]]];
    if (box === hub) return [this._spot("queue"), this._slot(box)];
    const gate = this.gateOf("worker", this.scene.servers[this.queueServer]?.role, null);
    const door = gate && gate.side === "out" ? [gate.m, gate.c] : [hub.lane.m1, start[1]];
    if (!box) return [start, door, [lane.m0 + 4, this.middle]];
    return [start, door, ...this._entry(box)];
  }

  _results(from) {
    const box = this.boxes.get(from), taker = this._taker();
    if (!taker || (box && box.lane === taker)) {
      return [box ? this._slot(box) : this._spot(from), this._spot("database")];
    }
    const lane = box?.lane ?? this.lanes.find(each => each.id === "Workers") ?? this.lanes.at(-1);
    const last = taker.names.map(name => this.boxes.get(name)).sort((a, b) => b.c1 - a.c1)[0];
    const m = (taker.m0 + taker.m1) / 2;
    const side = lane.m1 - lane.pad / 2;
    const start = box ? [box.m1, this._slot(box)[1]] : [lane.m1 - lane.pad, this.middle];
    const out = box && box.m1 < lane.m1 - lane.pad - 2
      ? [[box.m1, start[1]], [box.m1 + GAP / 2, start[1]], [box.m1 + GAP / 2, box.c1 + GAP / 2],
        [side, box.c1 + GAP / 2]] : [[box?.m1 ?? start[0], start[1]], [side, start[1]]];
    return [...out, [side, this.bus], [m, this.bus], [m, Math.min(last.c1 + 2, taker.c1 - 4)]];
  }

  /** Where a worker's first task is. */
  _slot({m1, c1}) {
    return [m1 - 15, c1 - 15];
  }

  _xy([m, c]) {
    return this.vertical ? [c, m] : [m, c];
  }

  _sampled({points, sharp, aside = 0}) {
    const rough = [];
    const curve = (steps, ...controls) => {
      for (let step = 1; step <= steps; step += 1) rough.push(this._xy(bezier(step / steps, controls)));
    };
    rough.push(this._xy(points[0]));
    for (let at = 1; at < points.length; at += 1) {
      const [m0, c0] = points[at - 1], [m1, c1] = points[at];
      const bend = (m1 - m0) / 2;
      if (!sharp) curve(14, points[at - 1], [m0 + bend, c0], [m1 - bend, c1], points[at]);
      else if (at === points.length - 1) rough.push(this._xy(points[at]));
      else curve(6, towards(points[at], points[at - 1]), points[at], points[at], towards(points[at], points[at + 1]));
    }
    const even = evenly(rough);
    return aside ? moved(even, aside) : even;
  }

  /** In pixels: {x, y, width, height}. */
  rectangle({m0, m1, c0, c1}) {
    return this.vertical
      ? {x: c0, y: m0, width: c1 - c0, height: m1 - m0} : {x: m0, y: c0, width: m1 - m0, height: c1 - c0};
  }
}

/** The point of a cubic curve, u from 0 to 1. */
function bezier(u, [a, b, c, d]) {
  const v = 1 - u;
  const axis = at => v * v * v * a[at] + 3 * v * v * u * b[at] + 3 * v * u * u * c[at] + u * u * u * d[at];
  return [axis(0), axis(1)];
}

/** The point near a corner from which the line to `other` is straight. */
function towards(corner, other) {
  const length = Math.hypot(other[0] - corner[0], other[1] - corner[1]) || 1;
  const part = Math.min(CORNER_PX, length / 2) / length;
  return [corner[0] + part * (other[0] - corner[0]), corner[1] + part * (other[1] - corner[1])];
}

/** Points on this line, evenly apart, some STEP_PX: x, y, x, y … */
function evenly(points) {
  const lengths = [0];
  for (let at = 1; at < points.length; at += 1) {
    lengths.push(lengths[at - 1] + Math.hypot(points[at][0] - points[at - 1][0], points[at][1] - points[at - 1][1]));
  }
  const steps = Math.max(2, Math.ceil(lengths.at(-1) / STEP_PX));
  const even = new Float32Array(2 * (steps + 1));
  let at = 1;
  for (let step = 0; step <= steps; step += 1) {
    const length = (lengths.at(-1) * step) / steps;
    while (at < points.length - 1 && lengths[at] < length) at += 1;
    const part = lengths[at] > lengths[at - 1] ? (length - lengths[at - 1]) / (lengths[at] - lengths[at - 1]) : 0;
    for (const axis of [0, 1]) {
      even[2 * step + axis] = points[at - 1][axis] + part * (points[at][axis] - points[at - 1][axis]);
    }
  }
  return even;
}

/** The same line, so many pixels to the right of it. */
function moved(points, aside) {
  const beside = new Float32Array(points.length);
  for (let at = 0; at < points.length; at += 2) {
    const before = Math.max(0, at - 2), behind = Math.min(points.length - 2, at + 2);
    const dx = points[behind] - points[before], dy = points[behind + 1] - points[before + 1];
    const length = Math.hypot(dx, dy) || 1;
    beside[at] = points[at] - (dy / length) * aside;
    beside[at + 1] = points[at + 1] + (dx / length) * aside;
  }
  return beside;
}

// -- drawing ----------------------------------------------------------------------------------------------------------

/** The outline of a shape, around (0, 0). */
function outline(shape) {
  const path = new Path2D();
  const polygon = (...points) => {
    for (const [x, y] of points) path.lineTo(x, y);
    path.closePath();
  };
  const cross = size => {
    path.moveTo(-size, -size);
    path.lineTo(size, size);
    path.moveTo(size, -size);
    path.lineTo(-size, size);
  };
  if (shape === "ring") path.arc(0, 0, 4, 0, 7);
  else if (shape === "disc") path.arc(0, 0, 4.8, 0, 7);
  else if (shape === "triangle") polygon([0, -5.5], [5.5, 4.5], [-5.5, 4.5]);
  else if (shape === "diamond") polygon([0, -6], [6, 0], [0, 6], [-6, 0]);
  else if (shape === "cross") cross(4);
  else if (shape === "star") {
    polygon(...Array.from({length: 10}, (_, at) => {
      const radius = at % 2 ? 3 : 7, turn = (Math.PI * at) / 5 - Math.PI / 2;
      return [radius * Math.cos(turn), radius * Math.sin(turn)];
    }));
  } else path.rect(-4.5, -4.5, 9, 9);
  if (shape === "crossed") cross(3);
  if (shape === "slashed") polygon([-4, 4], [4, -4]);
  if (shape === "hollow") polygon([1.5, -2.5], [-1.5, 0], [1.5, 2.5], [-1.5, 0]);
  return path;
}

const OUTLINES = Object.fromEntries(Object.values(KINDS).map(({shape}) => [shape, outline(shape)]));
const FILLED = ["disc", "triangle", "diamond", "star", "square"];

/** Draw one of the kinds around (0, 0). */
function trace(context, kind, {ink, ground}) {
  const {shape, colour} = KINDS[kind], path = OUTLINES[shape];
  if (FILLED.includes(shape)) {
    context.fillStyle = colour;
    context.fill(path);
    if (shape !== "square") return;
    context.strokeStyle = ink;
    context.lineWidth = 1.2;
  } else {
    context.fillStyle = ground;
    if (shape !== "cross") context.fill(path);
    context.strokeStyle = colour;
    context.lineWidth = shape === "cross" ? 3 : shape === "ring" ? 2.2 : 1.7;
  }
  context.stroke(path);
}

/** What moves and what is stacked, on a canvas. `marks`: where things were drawn, for the pointer. */
class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.marks = []; // [x, y, {uuid} or {e}], of which `marked` count
    this.marked = 0;
    this.bands = new Map();
    this.waiting = new Map();
    this.slots = new Map();
  }

  /** The picture's size in pixels, and the theme's colours. */
  fit(width, height, colours) {
    this.ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.colours = colours;
  }

  /** Draw the state; returns what moves. `calm`: nothing does, there are numbers instead. `wanted`: this order is
   * marked. */
  draw(state, plan, t, calm, wanted) {
    const context = this.context;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.marked = 0;
    const found = moving(state, t);
    if (!calm) this._bands(state, plan, t);
    this._orders(state, plan, t, calm);
    this._asked(state, plan, t);
    if (!calm) this._dots(state, plan, t);
    this._rates(plan, found, calm);
    if (wanted) this._highlight(wanted);
    if (state.gap && t <= state.gap.t) this._gap();
    return found;
  }

  _mark(x, y, what) {
    const mark = (this.marks[this.marked] ??= [0, 0, null]);
    mark[0] = x;
    mark[1] = y;
    mark[2] = what;
    this.marked += 1;
  }

  _shape(kind, x, y) {
    const {context, ratio} = this;
    context.setTransform(ratio, 0, 0, ratio, x * ratio, y * ratio);
    trace(context, kind, this.colours);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  _dots(state, plan, t) {
    const context = this.context;
    for (const hop of state.hops) {
      if (hop.flow || hop.start > t || hop.end <= t) continue;
      const points = pathOf(hop, plan);
      if (!points) continue;
      const part = (t - hop.start) / (hop.end - hop.start);
      const steps = points.length / 2 - 1, place = part * steps;
      const at = Math.min(steps - 1, Math.floor(place)), rest = place - at;
      const dx = points[2 * at + 2] - points[2 * at], dy = points[2 * at + 3] - points[2 * at + 1];
      const aside = hop.track ? ABREAST[hop.track] / (Math.hypot(dx, dy) || 1) : 0;
      const x = points[2 * at] + rest * dx - aside * dy;
      const y = points[2 * at + 1] + rest * dy + aside * dx;
      this._shape(hop.kind, x, y);
      if (hop.e.from === "you") {
        context.lineWidth = 1.5;
        context.strokeStyle = this.colours.ink;
        context.beginPath();
        context.arc(x, y, 8, 0, 7);
        context.stroke();
      }
      this._mark(x, y, hop.e);
    }
  }

  /** Flows: a band along the way, as thick as there is much of it. */
  _bands(state, plan, t) {
    const context = this.context, bands = this.bands;
    bands.clear();
    for (const hop of state.hops) {
      if (!hop.flow || hop.start > t || hop.end <= t) continue;
      const points = pathOf(hop, plan);
      if (!points) continue;
      const band = bands.get(points);
      const failed = FAILURES.includes(hop.kind) ? 1 : 0;
      if (!band) bands.set(points, {count: 1, failed, way: hop.way});
      else {
        band.count += 1;
        band.failed += failed;
      }
    }
    if (!bands.size) return;
    context.save();
    this._outside(plan);
    context.lineJoin = "bevel"; // the quickest to draw
    for (const [points, {count, failed, way}] of bands) {
      const wide = Math.min(15, 5 + 1.1 * Math.sqrt(count));
      context.strokeStyle = failed > count / 2 ? RED : WAY_COLOURS[way];
      context.beginPath();
      for (let at = 0; at < points.length; at += 4) context.lineTo(points[at], points[at + 1]);
      context.lineTo(points[points.length - 2], points[points.length - 1]);
      context.globalAlpha = 0.3;
      context.lineWidth = wide;
      context.stroke();
      context.globalAlpha = 0.9;
      this._marksOn(points, Math.max(3, wide / 2.4), t, WAY_COLOURS[way], failed / count);
    }
    context.restore();
  }

  /** Marks that go along a way, some BAND_MARK_PX apart; as many of them are red and larger as have failed. */
  _marksOn(points, size, t, colour, failed) {
    const each = BAND_MARK_PX / STEP_PX, last = points.length / 2 - 1, gone = (t * 90) / BAND_MARK_PX;
    let number = -Math.floor(gone); // each mark keeps its own
    for (let place = (gone % 1) * each; place < last; place += each, number += 1) {
      const at = Math.floor(place), rest = place - at;
      const x = points[2 * at] + rest * (points[2 * at + 2] - points[2 * at]);
      const y = points[2 * at + 1] + rest * (points[2 * at + 3] - points[2 * at + 1]);
      const bad = Math.floor((number + 1) * failed) > Math.floor(number * failed);
      const side = bad ? size + 2 : size;
      this.context.fillStyle = bad ? RED : colour;
      this.context.fillRect(x - side / 2, y - side / 2, side, side);
    }
  }

  /** Flows go through the load balancer unseen: its words can be read. */
  _outside(plan) {
    const lane = plan.lanes.find(each => each.id === "front");
    if (!lane) return;
    const {x, y, width, height} = plan.rectangle(plan.boxes.get(lane.names[0]));
    this.context.beginPath();
    this.context.rect(0, 0, this.width, this.height);
    this.context.rect(x, y, width, height);
    this.context.clip("evenodd");
  }

  /** How many a second: on flows; and on every way where nothing moves. */
  _rates(plan, found, calm) {
    for (const [way, {flows, rate, failed}] of Object.entries(found.ways)) {
      if (!rate || (!calm && !flows)) continue;
      const points = this._wayPath(plan, way);
      if (!points) continue;
      const at = 2 * Math.max(1, Math.min(points.length / 2 - 2, this._labelled(plan, way, points)));
      const x = points[at], y = points[at + 1];
      const dx = points[at + 2] - points[at - 2], dy = points[at + 3] - points[at - 1];
      const length = Math.hypot(dx, dy) || 1;
      const aside = (plan.vertical ? 30 : 15) * (way === "queue" ? -1 : 1);
      const words = failed ? `${rate}/s, ${failed} failed` : `${rate}/s`;
      this._pill(words, x - (dy / length) * aside, y + (dx / length) * aside);
    }
  }

  /** Which of the points has the way's number: for requests and answers, beside "you". */
  _labelled(plan, way, points) {
    if (way !== "ask" && way !== "answer") return Math.round(points.length / 4);
    const middle = (plan.you.m1 + (plan.lanes[0]?.m0 ?? plan.you.m1 + 40)) / 2, axis = plan.vertical ? 1 : 0;
    let at = 0;
    const beyond = way === "ask" ? m => m >= middle : m => m <= middle;
    while (2 * at < points.length && !beyond(points[2 * at + axis])) at += 1;
    return at;
  }

  _wayPath(plan, way) {
    const api = [...plan.boxes].find(([, box]) => box.lane.id === "API")?.[0] ?? "api";
    const worker = [...plan.boxes].find(([, box]) => box.lane.id === "Workers")?.[0] ?? plan.queueServer;
    const front = plan.lanes.some(lane => lane.id === "front");
    const ends = {
      ask: ["you", api, front], answer: [api, "you", front], store: [api, "database"], queue: ["database", "queue"],
      lease: ["queue", worker], result: [worker, "results"], return: [worker, "database"],
    }[way];
    return ends ? plan.path(ends[0], ends[1], !!ends[2]) : null;
  }

  _pill(text, x, y) {
    const context = this.context;
    context.font = `600 11px ${this.colours.font}`;
    const wide = context.measureText(text).width + 10;
    const left = Math.max(1, Math.min(this.width - wide - 1, x - wide / 2));
    context.fillStyle = this.colours.ground;
    context.strokeStyle = this.colours.faint;
    context.lineWidth = 1;
    context.beginPath();
    context.roundRect(left, y - 8.5, wide, 17, 8);
    context.fill();
    context.stroke();
    context.fillStyle = this.colours.ink;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(text, left + 5, y + 0.5);
  }

  _text(text, x, y, {bold = false, faint = false, align = "left", size = 11} = {}) {
    const context = this.context;
    context.font = `${bold ? 600 : 400} ${size}px ${this.colours.font}`;
    context.fillStyle = faint ? this.colours.faint : this.colours.ink;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillText(text, x, y);
  }

  /** Orders that are somewhere: in the database, in the queue, at workers with their leases, dead letters. */
  _orders(state, plan, t, calm) {
    let database = 0, queue = 0, dead = 0;
    this.slots.clear();
    const stack = plan.parts.queue ? plan.rectangle(plan.parts.queue) : null;
    const store = plan.parts.database ? plan.rectangle(plan.parts.database) : null;
    let known = 0, stored = 0;
    for (const order of state.orders.values()) {
      known += order.where === "queue";
      stored += order.where === "database";
    }
    const depth = known + state.unseen;
    const scale = depth > BLOCKS_MOST ? nice(depth / BLOCKS_MOST) : 1;
    for (const order of state.orders.values()) {
      const coming = order.free > t && !calm; // its dot is on the way: here is only its place
      if (order.where === "database") {
        if (store) this._block(store, database, order, 1, coming);
        database += 1;
      } else if (order.where === "queue") {
        if (stack && queue % scale === 0) this._block(stack, queue / scale, order, 5, coming);
        queue += 1;
      } else if (coming) continue;
      else if (order.where === "dead") dead += 1;
      else if (order.where === "worker") this._leased(state, plan, t, order, stack);
    }
    for (let at = queue; stack && at < queue + state.unseen; at += 1) {
      if (at % scale === 0) this._block(stack, at / scale, null, 5);
    }
    for (const [name, count] of this.slots) {
      const {x, y, width, height} = name ? plan.rectangle(plan.boxes.get(name)) : stack;
      if (!name) {
        const words = count > 1 ? `${count}: workers gone` : "worker gone";
        this._text(words, x + width - 6, y + height - 32, {align: "right", size: 10});
      } else if (count > TASKS_MOST) {
        this._text(`+${count - TASKS_MOST}`, x + width - 14 - 22 * TASKS_MOST, y + height - 16, {align: "right"});
      }
    }
    if (store) {
      this._cylinder(store.x + 13, store.y + 13);
      this._text("database", store.x + 26, store.y + 13);
      if (stored) this._text(String(stored), store.x + store.width - 6, store.y + 13, {bold: true, align: "right"});
    }
    if (stack) {
      this._text("queue", stack.x + 7, stack.y + 12);
      this._text(String(depth), stack.x + stack.width - 6, stack.y + 12, {bold: true, align: "right", size: 13});
      if (scale > 1) {
        const words = `1 block = ${scale}`;
        this._text(words, stack.x + stack.width / 2 + 8, stack.y + 12, {faint: true, align: "center", size: 10});
      }
      if (dead) {
        for (let at = 0; at < Math.min(dead, 3); at += 1) {
          this._shape("dead", stack.x + 12 + 5 * at, stack.y + stack.height - 11 - 2 * at);
        }
        const words = `${dead} dead letter${dead > 1 ? "s" : ""}`;
        this._text(words, stack.x + 24 + 5 * Math.min(dead, 3), stack.y + stack.height - 11);
      }
    }
  }

  /** The n-th of the blocks in this rectangle, below its words. No order: one of which nothing else is known. */
  _block({x, y, width}, number, order, rows, coming) {
    const across = Math.max(1, Math.floor((width - 12) / 12));
    const row = Math.floor(number / across);
    if (row >= rows) return;
    const left = x + 7 + 12 * (number % across), upper = y + 25 + 12 * row;
    const context = this.context;
    context.lineWidth = 1;
    context.strokeStyle = coming ? this.colours.shade : this.colours.ink;
    context.beginPath();
    context.rect(left + 0.5, upper + 0.5, 9, 9);
    if (order && !coming) {
      context.fillStyle = KINDS.task.colour;
      context.fill();
      this._mark(left + 5, upper + 5, order);
    }
    context.stroke();
  }

  /** A task at its worker: a ring that runs down is the lease. Where the worker is gone, the queue alone knows of it. */
  _leased(state, plan, t, order, stack) {
    const box = plan.boxes.get(order.worker), holder = box ? order.worker : "";
    if (!box && !stack) return;
    const number = this.slots.get(holder) ?? 0;
    this.slots.set(holder, number + 1);
    if (number >= (box ? TASKS_MOST : GONE_MOST)) return;
    const {x, y, width, height} = box ? plan.rectangle(box) : stack;
    const fits = Math.floor((width - 10) / 22);
    if (number >= fits) return;
    const atX = x + width - 15 - 22 * number, atY = y + height - 15;
    const left = 1 - (t - order.leased) / (state.scene.leases?.seconds ?? 8);
    const context = this.context;
    context.lineWidth = 3;
    context.strokeStyle = this.colours.shade;
    context.beginPath();
    context.arc(atX, atY, 8.5, 0, 7);
    context.stroke();
    context.strokeStyle = left < 0.3 ? RED : ORANGE;
    context.beginPath();
    if (left > 0) context.arc(atX, atY, 8.5, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * Math.min(1, left));
    else context.setLineDash([2.5, 2.5]), context.arc(atX, atY, 8.5, 0, 7);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = KINDS.task.colour;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = 1;
    context.beginPath();
    context.rect(atX - 3.5, atY - 3.5, 7, 7);
    context.fill();
    context.stroke();
    this._mark(atX, atY, order);
    if (number || !box || box.small) return;
    const words = left > 0 ? `lease ${Math.ceil(left * (state.scene.leases?.seconds ?? 8))} s` : "lease over";
    this._text(words, x + 13, atY, {size: 10, faint: left > 0, bold: left <= 0});
  }

  _cylinder(x, y) {
    const context = this.context;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = 1.3;
    context.beginPath();
    context.ellipse(x, y - 4.5, 6, 2.4, 0, 0, 7);
    context.moveTo(x - 6, y - 4.5);
    context.lineTo(x - 6, y + 4.5);
    context.ellipse(x, y + 4.5, 6, 2.4, 0, Math.PI, 0, true);
    context.lineTo(x + 6, y - 4.5);
    context.stroke();
  }

  /** Requests that have arrived and wait for an answer stand in line on their way. */
  _asked(state, plan, t) {
    this.waiting.clear();
    for (const {e, at, arrive} of state.asked.values()) {
      if (arrive > t) continue;
      const points = plan.path("you", at, !!e.via);
      if (!points) continue;
      if (!this.waiting.has(points)) this.waiting.set(points, {at, count: 0});
      const waiting = this.waiting.get(points);
      waiting.count += 1;
      if (waiting.count > WAITING_DOTS_MOST) continue;
      const [x, y] = backFrom(points, 11 * waiting.count - 5);
      this._shape("asked", x, y);
      this._mark(x, y, e);
    }
    for (const [points, {at, count}] of this.waiting) {
      if (count <= WAITING_DOTS_MOST) continue;
      const box = plan.boxes.get(at) && plan.rectangle(plan.boxes.get(at));
      const [x, y] = box ? [box.x + box.width - 30, box.y + 13] : backFrom(points, 6 + 11 * WAITING_DOTS_MOST);
      this._pill(`${count} wait`, x, box ? y : y + 14);
    }
  }

  _gap() {
    const context = this.context;
    context.save();
    context.globalAlpha = 0.2;
    context.strokeStyle = this.colours.faint;
    context.lineWidth = 2;
    context.beginPath();
    for (let x = -this.height; x < this.width; x += 14) {
      context.moveTo(x, this.height);
      context.lineTo(x + this.height, 0);
    }
    context.stroke();
    context.restore();
  }

  /** Where an order was drawn: [x, y], or nothing. */
  placeOf(uuid) {
    for (let at = 0; at < this.marked; at += 1) {
      const [x, y, what] = this.marks[at];
      if (what.uuid === uuid) return [x, y];
    }
    return [];
  }

  _highlight(uuid) {
    const context = this.context;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = 2.5;
    for (let at = 0; at < this.marked; at += 1) {
      const [x, y, what] = this.marks[at];
      if (what.uuid !== uuid) continue;
      context.beginPath();
      context.arc(x, y, 12.5, 0, 7);
      context.stroke();
    }
  }

  /** What is drawn nearest to this place: an order or an event; or null. */
  near(x, y) {
    let found = null, best = NEAR_PX * NEAR_PX;
    for (let at = 0; at < this.marked; at += 1) {
      const [markX, markY, what] = this.marks[at];
      const away = (markX - x) ** 2 + (markY - y) ** 2;
      if (away < best) [found, best] = [what, away];
    }
    return found;
  }
}

/** The way of a hop, which it keeps until the plan is another. */
function pathOf(hop, plan) {
  if (hop.plan !== plan) {
    hop.plan = plan;
    hop.points = plan.path(hop.from, hop.to, hop.via);
  }
  return hop.points;
}

/** The point of the way so many pixels before its end. */
function backFrom(points, pixels) {
  let at = points.length - 2, left = pixels;
  while (at >= 2) {
    const length = Math.hypot(points[at] - points[at - 2], points[at + 1] - points[at - 1]);
    if (length >= left && length > 0) {
      const part = left / length;
      return [0, 1].map(axis => points[at + axis] + part * (points[at + axis - 2] - points[at + axis]));
    }
    left -= length;
    at -= 2;
  }
  return [points[0], points[1]];
}

/** The next of 1, 2, 5, 10, 20, 50 … */
function nice(value) {
  for (let unit = 1; ; unit *= 10) for (const step of [1, 2, 5]) if (value <= step * unit) return step * unit;
}

// -- pane -------------------------------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
let ids = 0;

/** An element with attributes (`on…`: listeners; false: left out) and what is in it. */
function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inside);
  return element;
}

function draw(tag, attributes, ...inside) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

/** Change a text only where it differs. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const clock = t => new Date(t * 1000).toTimeString().slice(0, 8);
const seconds = value => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} s`;
const short = uuid => uuid.slice(0, 8);

/** One application, or one recording: its story, and all that shows it. */
class Pane {
  constructor(owner, {title = "", events = []}) {
    this.owner = owner;
    this.title = title;
    this.story = new Story(owner.pace);
    this.story.add(events);
    this.story.late = 0;
    // A recording begins with the whole scene; what follows may tell of earlier times: the tasks that were in flight.
    this.begins = events[0]?.k === "scene" ? events[0].t : this.story.start;
    this.id = `living-${(ids += 1)}`;
    this.story.start = Math.max(this.story.start, this.begins); // before, too little is known for a rate
    this.found = {dots: 0, flows: 0, ways: {}};
    this.servers = new Map(); // name → its element's parts
    this.resized = true;
    this.visible = false;
    this.signature = "";
    this.tallest = 0;
    this.shownAt = -Infinity;
    this.hovered = null;
    this._build();
  }

  _build() {
    this.problem = make("div", {class: "living-problem", role: "status"});
    this.ways = draw("svg", {class: "living-ways", "aria-hidden": "true"});
    this.boxes = make("div", {class: "living-boxes"});
    this.canvas = make("canvas", {class: "living-dots", "aria-hidden": "true"});
    this.painter = new Painter(this.canvas);
    this.unknown = make("div", {class: "living-gap", hidden: true});
    this.card = make("div", {class: "living-card", id: `${this.id}-card`, role: "tooltip", hidden: true});
    this.gates = make("ul", {class: "living-hidden living-gates", "aria-label": "Ports between the groups"});
    this.stage = make("div", {class: "living-stage"}, this.ways, this.boxes, this.canvas, this.unknown, this.card);
    this.stage.addEventListener("pointermove", event => this._hover(event));
    this.stage.addEventListener("pointerleave", () => this._show(null));
    this.note = make("p", {class: "living-note", role: "status"});
    this.tiles = {};
    const tiles = [["waiting", "waiting"], ["working", "in work"], ["done", "done"], ["failed", "dead letters"],
      ["rate", "fractals/s"], ["workers", "workers wanted"]];
    const list = make("dl", {class: "living-tiles"}, ...tiles.map(([name, words]) => {
      this.tiles[name] = make("dd", {}, "–");
      return make("div", {}, make("dt", {}, words), this.tiles[name]);
    }));
    this.line = draw("svg", {class: "living-line", role: "img", viewBox: "0 0 300 64"});
    this.said = make("p", {class: "living-said"});
    this.summary = make("summary", {}, "Orders in flight: 0");
    this.orders = make("div", {
      class: "living-orders", role: "listbox", tabindex: "0", "aria-label": "Orders in flight", hidden: true,
      onkeydown: event => this._ordersKey(event), 
      onfocus: () => this._choose([...this.orders.children].findIndex(each => each.dataset.uuid === this.chosen)),
      onblur: () => {
        this._show(null);
        this.owner.repaint();
      },
    });
    this.orders.addEventListener("click", event => {
      const at = [...this.orders.children].indexOf(event.target.closest("[role=option]"));
      if (at >= 0) this._choose(at);
    });
    this.flight = make("details", {class: "living-flight"}, this.summary, this.orders);
    this.flight.addEventListener("toggle", () => this._list(true));
    const title = this.title ? [make("p", {class: "living-title", id: `${this.id}-title`}, this.title)] : [];
    this.element = make("section", {
      class: "living-pane", "aria-label": this.title || "The application",
    }, ...title, this.problem, this.stage, this.gates, this.note,
    make("div", {class: "living-numbers"}, list, this.line), this.said, this.flight);
  }

  // Standing things

  /** How wide the picture may be, in pixels. */
  width() {
    return Math.max(280, Math.floor(this.stage.clientWidth));
  }

  /** Fit the picture to its width and to what there is, where either has changed: whether it was. */
  fit(scene) {
    if (scene === this.sceneFitted && !this.resized) return false;
    this.sceneFitted = scene;
    this.resized = false;
    const width = this.width();
    const servers = Object.entries(scene.servers ?? {});
    const signature = JSON.stringify([
      width, scene.front?.name, Object.keys(scene.gates ?? {}),
      servers.map(([name, server]) => [name, server.role, server.column, server.offers]),
    ]);
    if (signature === this.signature) return false;
    this.signature = signature;
    this.plan = layout(scene, width);
    this.tallest = width === this.fitted ? Math.max(this.tallest, this.plan.height) : this.plan.height;
    this.fitted = width;
    this.stage.style.height = `${this.tallest}px`;
    this.painter.fit(width, this.tallest, this.owner.colours);
    this._ways(width);
    this._placeBoxes(scene);
    this.sceneShown = null;
    return true;
  }

  /** Lay all out anew with the next picture. */
  renew() {
    this.signature = "";
    this.resized = true;
  }

  _ways(width) {
    const plan = this.plan;
    this.ways.setAttribute("viewBox", `0 0 ${width} ${this.tallest}`);
    this.ways.setAttribute("width", width);
    this.ways.setAttribute("height", this.tallest);
    const parts = [];
    for (const lane of plan.lanes) {
      const {x, y, width: wide, height} = plan.rectangle(lane);
      parts.push(draw("rect", {class: `living-lane living-lane-${lane.id}`, x, y, width: wide, height, rx: 10}));
      const text = draw("text", {class: "living-lane-title", x: x + 10, y: y + 17});
      text.textContent = lane.title;
      parts.push(text);
    }
    const way = (name, from, to, via) => {
      const points = plan.path(from, to, via);
      if (!points) return;
      let d = "M";
      for (let at = 0; at < points.length; at += 2) d += ` ${points[at].toFixed(1)},${points[at + 1].toFixed(1)}`;
      parts.push(draw("path", {class: `living-way living-way-${name}`, d}));
      const end = points.length, back = Math.max(0, end - 4);
      const turn = (Math.atan2(points[end - 1] - points[back + 1], points[end - 2] - points[back]) * 180) / Math.PI;
      parts.push(draw("path", {
        class: `living-arrow living-way-${name}`, d: "M-8,-4 L0,0 L-8,4 z",
        transform: `translate(${points[end - 2].toFixed(1)},${points[end - 1].toFixed(1)}) rotate(${turn.toFixed(1)})`,
      }));
    };
    const front = plan.lanes.some(lane => lane.id === "front");
    const apis = [...plan.boxes].filter(([, box]) => box.lane.id === "API").map(([name]) => name);
    for (const name of apis) {
      way("ask", "you", name, front);
      way("ask", name, "you", front);
      if (plan.parts.database) way("store", name, "database");
    }
    if (front && !apis.length) way("ask", "you", [...plan.boxes][0][0], false);
    if (plan.parts.queue) {
      for (const [name, box] of plan.boxes) {
        if (box.lane.id !== "Workers") continue;
        way("lease", "queue", name);
        way("result", name, "results");
      }
      way("queue", "database", "queue");
    }
    for (const part of Object.values(plan.parts)) {
      const {x, y, width: wide, height} = plan.rectangle(part);
      parts.push(draw("rect", {class: "living-part", x, y, width: wide, height, rx: 5}));
    }
    parts.push(...this._wayWords());
    this.ways.replaceChildren(...parts);
    this.gateMarks = new Map();
    for (const place of plan.gates.values()) this._gate(place);
  }

  /** What goes between two lanes, in words, where there is room. */
  _wayWords() {
    const {plan} = this, parts = [];
    const say = (text, x, y) => {
      const words = draw("text", {class: "living-way-words", x, y, "text-anchor": "middle"});
      words.textContent = text;
      parts.push(words);
    };
    const words = {front: "requests", API: "requests", Services: "orders", Workers: "tasks"};
    plan.lanes.forEach((lane, at) => {
      const before = at ? plan.lanes[at - 1].m1 : plan.you.m1 + 4;
      if (plan.vertical || lane.m0 - before < 58) return;
      say(`${words[lane.id]} →`, (before + lane.m0) / 2, at ? 17 : plan.middle - 26);
    });
    const last = plan.lanes.at(-1), taker = plan._taker();
    if (!plan.returns || !taker || last === taker) return parts;
    if (!plan.vertical) say("← results", (taker.m1 + last.m0) / 2, plan.bus - 5);
    return parts;
  }

  /** Two posts, and between them a way through, or a bar. */
  _gate({key, m, c, side, gate}) {
    const [x, y] = this.plan._xy([m, c]);
    const turned = (side === "end") !== this.plan.vertical; // the way goes up and down
    const inner = draw("g", {transform: turned ? "rotate(90)" : ""},
      draw("rect", {class: "living-gate-ground", x: -6, y: -13, width: 12, height: 26, rx: 3}),
      draw("path", {class: "living-gate-posts", d: "M-5,-12 H5 M-5,12 H5"}),
      draw("path", {class: "living-gate-bar", d: "M0,-11 V11 M-5,-5 L5,5 M5,-5 L-5,5"}));
    const words = draw("text", {class: "living-port", "text-anchor": turned || side === "out" ? "start" : "end"});
    words.setAttribute("x", turned ? 17 : side === "out" ? -9 : 9);
    words.setAttribute("y", turned ? (side === "end" ? 14 : -7) : -18);
    words.textContent = `:${gate.port}`;
    const transform = `translate(${x.toFixed(1)},${y.toFixed(1)})`;
    const group = draw("g", {class: "living-gate", transform}, inner, words);
    this.ways.append(group);
    this.gateMarks.set(key, {group, words, port: gate.port});
  }

  _placeBoxes(scene) {
    const plan = this.plan, acts = this.owner.actions.length > 0;
    const wanted = new Set(["you", ...plan.boxes.keys()]);
    for (const [name, parts] of this.servers) {
      if (wanted.has(name) && parts.acts === acts) continue;
      parts.element.remove();
      this.servers.delete(name);
    }
    const place = (element, box) => {
      const {x, y, width, height} = plan.rectangle(box);
      Object.assign(element.style, {left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px`});
    };
    if (!this.servers.has("you")) this._buildYou(acts);
    place(this.servers.get("you").element, plan.you);
    for (const [name, box] of plan.boxes) {
      if (!this.servers.has(name)) this._buildBox(name, acts);
      const parts = this.servers.get(name);
      place(parts.element, box);
      parts.element.className = `living-server living-${box.lane.id}`
        + (box.small ? " living-small" : "") + (plan.rectangle(box).width < 150 ? " living-tight" : "")
        + (plan._hub(name) && plan.vertical ? " living-beside" : "");
    }
    this.boxes.append(...[...wanted].map(name => this.servers.get(name).element));
    this.empty ??= make("p", {class: "living-empty"}, "The application has no servers.");
    if (plan.boxes.size) this.empty.remove();
    else this.boxes.append(this.empty);
  }

  _buildYou(acts) {
    const figure = draw("svg", {viewBox: "0 0 40 40", width: 40, height: 40, "aria-hidden": "true"},
      draw("circle", {cx: 20, cy: 11, r: 8}), draw("path", {d: "M5,38 q0,-17 15,-17 q15,0 15,17 z"}));
    const asks = acts && this.owner.actions.includes("ask");
    const words = make("span", {}, "you");
    const element = asks
      ? make("button", {type: "button", class: "living-you", onclick: () => this.owner.act({type: "act", what: "ask"})},
        figure, words, make("span", {class: "living-ask"}, "order one"))
      : make("div", {class: "living-you"}, figure, words);
    this.servers.set("you", {element, acts});
  }

  _buildBox(name, acts) {
    const parts = {acts};
    for (const part of ["name", "address", "floating", "words", "percent", "more"]) {
      parts[part] = make("span", {class: `living-${part}`});
    }
    parts.fill = make("span", {class: "living-fill"});
    parts.cpu = make("span", {class: "living-cpu"}, make("span", {class: "living-bar"}, parts.fill), parts.percent);
    parts.element = make("button", {
      type: "button", onclick: () => this.owner.menu(this, name),
      onfocus: () => this._show({server: name}), onblur: () => this._show(null),
    }, parts.name, parts.address, parts.floating, parts.words, parts.cpu, parts.more);
    parts.flag = make("span", {class: "living-flag", hidden: true});
    parts.element.append(parts.flag);
    write(parts.name, name);
    this.servers.set(name, parts);
  }

  /** Words and numbers of the servers and gates. */
  stand(state, t) {
    const {scene} = state;
    if (this.sceneShown !== scene) {
      this.sceneShown = scene;
      for (const [name, parts] of this.servers) {
        if (name === "you") continue;
        if (scene.front?.name === name) this._front(scene.front, parts);
        else if (scene.servers?.[name]) this._server(scene.servers[name], parts, scene.front?.members?.[name]);
      }
      const said = [];
      for (const [key, {group, words, port}] of this.gateMarks) {
        const gate = scene.gates?.[key];
        if (!gate) continue;
        group.classList.toggle("living-shut", !gate.open);
        write(words, gate.open ? `:${port}` : `:${port} shut`);
        said.push(`port ${port} from ${gate.from} to ${gate.to}: ${gate.open ? "open" : "shut"}`);
      }
      const listed = [...this.gates.children].map(each => each.textContent);
      if (String(listed) !== String(said)) this.gates.replaceChildren(...said.map(text => make("li", {}, text)));
      write(this.problem, scene.problem ?? "");
      this.problem.hidden = !scene.problem;
    }
    const notes = this.story.notes;
    const noted = new Map();
    let latest = null;
    for (let at = after(notes, t) - 1; at >= 0 && notes[at].t > t - NOTE_SECONDS; at -= 1) {
      latest ??= notes[at].e;
      const {server, text} = notes[at].e;
      if (server && !noted.has(server)) noted.set(server, text);
    }
    for (const [name, {flag}] of this.servers) {
      if (!flag) continue;
      const text = noted.get(name) ?? "";
      if (flag.textContent !== text) write(flag, text);
      flag.hidden = !text;
    }
    write(this.note, latest ? `${this.owner.timeWords(this, latest.t)}: ${latest.text}` : "");
    const gap = state.gap && t <= state.gap.t ? state.gap : null;
    this.unknown.hidden = !gap;
    if (gap) {
      const from = this.owner.timeWords(this, gap.from), to = this.owner.timeWords(this, gap.t);
      write(this.unknown, `Nothing is known from ${from} to ${to}: ${gap.text}`);
    }
    this._numbers(state, t);
    this._words(state, t);
    if (this.flight.open) this._list(false, state, t);
    let flying = 0;
    for (const order of state.orders.values()) flying += order.where !== "dead";
    write(this.summary, `Orders in flight: ${flying}`);
    if (this.hovered && !this.card.hidden) this._fillCard();
  }

  _front(front, parts) {
    const members = Object.entries(front.members ?? {});
    const online = members.filter(([, member]) => ["ONLINE", "NO_MONITOR"].includes(member.status)).length;
    write(parts.address, front.address ?? "");
    write(parts.floating, front.floating ?? "");
    write(parts.words, `${online} of ${members.length} online`);
    write(parts.more, (front.algorithm ?? "").replaceAll("_", " ").toLowerCase());
    parts.more.className = "living-faint";
    parts.cpu.hidden = true;
    parts.element.classList.toggle("living-unwell", front.status !== "ACTIVE" || online < members.length);
  }

  _server(server, parts, member) {
    write(parts.address, server.address ?? "");
    write(parts.floating, server.floating ? `${server.floating} floating` : "");
    const words = [server.words ?? server.state ?? ""];
    if (member && !["ONLINE", "NO_MONITOR"].includes(member.status)) words.push(member.status.toLowerCase());
    if (member && member.weight !== 1) words.push(`weight ${member.weight}`);
    write(parts.words, words.join(" · "));
    const used = server.cpu;
    parts.cpu.hidden = used === null || used === undefined;
    if (!parts.cpu.hidden) {
      parts.fill.style.width = `${Math.max(0, Math.min(100, used))}%`;
      write(parts.percent, `CPU ${used.toFixed(0)} %`);
      parts.cpu.classList.toggle("living-full", used >= 90);
    }
    parts.element.classList.toggle("living-unwell", server.well === false);
    parts.element.classList.toggle("living-drain", !!server.drain);
  }

  _numbers(state, t) {
    const known = (state.scene.counts || state.orders.size) && !(state.gap && t <= state.gap.t);
    for (const name of ["waiting", "working", "done", "failed"]) {
      const number = name === "waiting" ? waiting(state) + state.unseen : state.counts[name];
      write(this.tiles[name], known ? String(number) : "–");
    }
    this.tiles.failed.parentElement.hidden = !state.counts.failed;
    const rate = this.story.rate(t);
    write(this.tiles.rate, rate === null ? "–" : rate.toFixed(1));
    const {wanted} = state.scene;
    this.tiles.workers.parentElement.hidden = wanted === null || wanted === undefined;
    const there = Object.values(state.scene.servers ?? {}).filter(server => server.role === "worker").length;
    write(this.tiles.workers, `${there} of ${wanted}`);
    if (Math.floor(2 * t) !== this.lineAt) this._line(t, rate);
  }

  /** Throughput over the last minute, or as long as the recording is where that is less. */
  _line(t, now) {
    const {player} = this.owner;
    const span = player.live ? LINE_SECONDS : Math.min(LINE_SECONDS, 10 * Math.ceil(Math.max(1, player.end) / 10));
    const long = span === LINE_SECONDS ? "minute" : `${span} s`;
    this.lineAt = Math.floor(2 * t);
    const rates = [];
    for (let step = LINE_STEPS; step >= 0; step -= 1) {
      const ago = (span * step) / LINE_STEPS;
      rates.push([ago, this.story.rate(t - ago)]);
    }
    this.top = nice(Math.max(1, ...rates.map(([, rate]) => rate ?? 0)));
    const top = Math.max(...this.owner.panes.map(pane => pane.top ?? 1)); // side by side, one scale
    const left = 26, right = 292, upper = 8, lower = 48;
    const x = ago => right - ((right - left) * ago) / span;
    const y = rate => lower - ((lower - upper) * rate) / top;
    const parts = [];
    for (const each of [0, top]) {
      parts.push(draw("line", {class: "living-axis", x1: left, x2: right, y1: y(each), y2: y(each)}));
      const text = draw("text", {x: left - 4, y: y(each) + 3.5, "text-anchor": "end"});
      text.textContent = String(each);
      parts.push(text);
    }
    const began = `${span === LINE_SECONDS ? "1 min" : long} ago`;
    for (const [ago, anchor, words] of [[span, "start", began], [0, "end", "fractals/s, now"]]) {
      const text = draw("text", {x: x(ago), y: 61, "text-anchor": anchor});
      text.textContent = words;
      parts.push(text);
    }
    let d = "", on = false;
    for (const [ago, rate] of rates) {
      if (rate === null) on = false;
      else {
        d += `${on ? "L" : "M"}${x(ago).toFixed(1)},${y(rate).toFixed(1)}`;
        on = true;
      }
    }
    parts.push(draw("path", {class: "living-rate", d}));
    for (const {t: when, e} of this.story.notes) {
      if (when > t || when < t - span) continue;
      const title = draw("title", {});
      title.textContent = e.text;
      const d = `M${x(t - when).toFixed(1)},${lower} V${upper}`;
      parts.push(draw("path", {class: "living-noted", d}, title));
    }
    this.line.replaceChildren(...parts);
    const words = now === null ? "unknown" : now.toFixed(1);
    this.line.setAttribute("aria-label", `Fractals per second over the last ${long}: now ${words}`);
  }

  /** In words: what the picture itself does not show. */
  _words(state, t) {
    const {dots, flows, ways} = this.found;
    const said = [];
    const last = this.owner.player.playing ? null : this.story.latest(t);
    if (last && last.t >= this.origin) { // a cut begins with what had happened before it
      said.push(`Last event: ${this.owner.timeWords(this, last.t, true)} ${itemWords(last, t)}`);
    }
    if (this.owner.calm) {
      const each = Object.keys(WAYS).filter(name => ways[name]?.rate).map(name => `${WAYS[name]}: ${ways[name].rate}`);
      said.push(`Within the last second: ${each.join(", ") || "nothing"}`);
    } else if (flows) said.push(`${dots + flows} are on their way: ${dots} as dots, ${flows} in flows`);
    if (this.owner.silent) said.push("nothing is heard of the kernel");
    if (this.story.late) said.push(`${this.story.late} arrived too late to be drawn in their place`);
    const {clock: measured} = state.scene;
    if (measured?.within !== undefined && measured.within !== null) {
      const ahead = (Math.abs(measured.ahead ?? 0) * 1000).toFixed(1), within = (measured.within * 1000).toFixed(1);
      const where = measured.ahead < 0 ? "behind" : "ahead";
      said.push(`the application's clock was ${ahead} ms ${where} (corrected, ± ${within} ms)`);
    }
    write(this.said, said.join(" · "));
  }

  // Cards: of an order, a request, a server

  _hover(event) {
    const box = this.stage.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const what = this.painter.near(x, y);
    const server = event.target.closest?.(".living-server");
    const name = server && [...this.servers].find(([, parts]) => parts.element === server)?.[0];
    const before = this.hovered?.what;
    this._show(what ? {what} : name ? {server: name} : null, x, y);
    if (before !== (what ?? undefined)) this.owner.repaint();
  }

  /** Show the card of {what: order or event}, {uuid} or {server}; null: none. */
  _show(hovered, x, y) {
    this.hovered = hovered;
    this.card.hidden = !hovered;
    if (!hovered) return;
    this._fillCard();
    if (x === undefined) {
      const box = hovered.server && this.plan.boxes.get(hovered.server);
      const place = box ? this.plan.rectangle(box) : {x: 8, y: 0, width: 0, height: 8};
      [x, y] = [place.x, place.y + place.height - 8];
    }
    this.card.style.left = "0";
    const wide = this.card.offsetWidth, high = this.card.offsetHeight;
    const left = Math.max(2, Math.min(this.fitted - wide - 2, x + 14));
    const under = y + 16;
    this.card.style.left = `${left}px`;
    this.card.style.top = `${under + high > this.tallest && y - high > 12 ? y - high - 12 : under}px`;
  }

  _fillCard() {
    const {what, server, uuid: given} = this.hovered;
    const t = this.owner.timeOf(this), state = this.story.at(t);
    const uuid = given ?? what?.uuid;
    const [title, lines] = uuid ? [uuid, this._orderLines(uuid, state, t)]
      : what ? [`${what.method ?? "request"} ${what.path ?? ""}`, this._requestLines(what, t)]
        : [server, this._serverLines(server, state, t)];
    const text = [title, ...lines].join("\n");
    if (this.cardText === text && this.card.childElementCount) return;
    this.cardText = text;
    this.card.replaceChildren(make("strong", {}, title), ...lines.map(line => make("span", {}, line)));
  }

  _orderLines(uuid, state, t) {
    const life = this.story.life(uuid, t), order = state.orders.get(uuid);
    const lines = [];
    if (order) {
      lines.push(`age ${seconds(t - (life[0]?.t ?? t))} · ${placeWords(order, state.scene)} for ${seconds(t - order.since)}`);
      if (order.where === "worker") {
        const left = (state.scene.leases?.seconds ?? 8) - (t - order.leased);
        lines.push(left > 0 ? `its lease runs for ${seconds(left)} more` : "its lease has run out");
      }
    } else if (life.some(e => e.what === "done")) lines.push("done");
    const told = life.map(e => `${this.owner.timeWords(this, e.t, true)} ${eventWords(e, t)}`);
    const more = told.length - HISTORY_LINES;
    if (more > 0) told.splice(2, more, `… ${more} more`);
    return [...lines, ...told];
  }

  _requestLines(e, t) {
    const age = `age ${seconds(Math.max(0, Math.min(t, e.end) - e.t))}`;
    return [age, `${this.owner.timeWords(this, e.t, true)} ${eventWords(e, t)}`];
  }

  _serverLines(name, {scene, orders}, t) {
    const server = scene.servers?.[name];
    if (!server) {
      return Object.entries(scene.front?.members ?? {}).map(([member, {status, weight}]) => (
        `${member}: ${status.toLowerCase()}, weight ${weight}`));
    }
    const lines = [[server.words, server.status, server.drain ? "drains" : ""].filter(Boolean).join(" · ")];
    if (server.load !== null && server.load !== undefined) lines.push(`load average ${server.load.toFixed(2)}`);
    if (server.cores) lines.push(`may use ${server.cores} of a core`);
    const here = [...orders.values()].filter(order => order.worker === name && order.where === "worker");
    const tasks = here.slice(0, TASKS_MOST).map(order => `${short(order.uuid)}: for ${seconds(t - order.since)}`);
    return [...lines, ...tasks];
  }

  // The list of orders

  _list(force, state, t) {
    if (!this.flight.open) return;
    const now = performance.now();
    if (!force && now - (this.listedAt ?? 0) < 500) return;
    this.listedAt = now;
    t ??= this.owner.timeOf(this);
    state ??= this.story.at(t);
    const orders = [...state.orders.values()].filter(order => order.where !== "dead").slice(-ORDERS_LISTED);
    const list = this.orders;
    this.orders.hidden = !orders.length;
    while (list.children.length > orders.length) list.lastElementChild.remove();
    while (list.children.length < orders.length) {
      const id = `${this.id}-order-${list.children.length}`;
      list.append(make("div", {role: "option", id, "aria-selected": "false"}));
    }
    orders.forEach((order, at) => {
      const option = list.children[at];
      option.dataset.uuid = order.uuid;
      write(option, `${short(order.uuid)} · ${placeWords(order, state.scene)} · ${seconds(t - order.since)}`);
      const chosen = order.uuid === this.chosen;
      option.setAttribute("aria-selected", String(chosen));
      if (chosen) list.setAttribute("aria-activedescendant", option.id);
    });
    if (!orders.some(order => order.uuid === this.chosen)) list.removeAttribute("aria-activedescendant");
  }

  _ordersKey(event) {
    const options = [...this.orders.children];
    const at = options.findIndex(option => option.dataset.uuid === this.chosen), last = options.length - 1;
    const to = {ArrowDown: at + 1, ArrowUp: at < 0 ? last : at - 1, Home: 0, End: last}[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this._choose(Math.max(0, Math.min(last, to)));
  }

  /** The order at this place of the list: it is marked in the picture, and its card is shown. */
  _choose(at) {
    const option = this.orders.children[Math.max(0, at)];
    if (!option) return;
    this.chosen = option.dataset.uuid;
    this.orders.setAttribute("aria-describedby", this.card.id);
    this._list(true);
    option.scrollIntoView({block: "nearest"});
    this._show({uuid: this.chosen}, ...this.painter.placeOf(this.chosen));
    this.owner.repaint();
  }

  /** Whether the picture is another one than a frame ago: only then is it worth the browser's time. */
  _moves(state, t) {
    return this.found.dots > 0 || this.found.flows > 0 || state.hops.some(hop => hop.end > t);
  }

  /** Draw the story's time `t`. `slowly`: words and numbers, too. */
  show(t, slowly) {
    const state = this.story.at(t);
    const anew = this.fit(state.scene);
    if (slowly || anew || this._moves(state, t)) {
      const wanted = this.hovered?.uuid ?? this.hovered?.what?.uuid;
      this.found = this.painter.draw(state, this.plan, t, this.owner.calm, wanted);
    }
    if (slowly) this.stand(state, t);
    this.shownAt = Math.max(this.shownAt, t);
    return state;
  }
}

/** Where an order is, in words. */
function placeWords({where, worker}, {servers = {}}) {
  const gone = servers[worker] ? "" : " (gone)";
  return {database: "in the database", queue: "in the queue", dead: "a dead letter"}[where] ?? `at ${worker}${gone}`;
}

/** One item of a story in words. */
function itemWords({what, e}, t) {
  if (what === "note" || what === "gap") return e.text;
  const words = what === "begin" && e.end > t ? "asked: " : "";
  return `${e.uuid ? `${short(e.uuid)}: ` : ""}${words}${eventWords(e, t)}`;
}

/** An event in words, as far as it was known then. */
function eventWords(e, t) {
  if (e.k !== "request") {
    const said = SAID[e.what] ?? e.what;
    return / (by|from|of)$/.test(said) ? `${said} ${e.worker ?? "a worker"}` : said;
  }
  const asked = `${e.method} at ${e.to || "nobody"}${e.via ? " through the load balancer" : ""}`;
  if (e.end > t) return asked;
  const took = `${((e.end - e.t) * 1000).toFixed(0)} ms`;
  return `${asked}: ${e.status ?? (e.error || "no answer")} after ${took}`;
}

// -- player -----------------------------------------------------------------------------------------------------------

/**
 * The time that is shown, in seconds from the start. Nothing here reads a clock: `tick` is told what has passed.
 *
 * `start`, `end`: from where to where one can go. `following`: live, and at the present.
 */
export class Player {
  constructor(live = false) {
    this.live = live;
    this.t = this.start = this.end = 0;
    this.speed = 1;
    this.playing = this.following = live;
  }

  /** So much time has passed, in seconds. */
  tick(passed) {
    if (!this.playing) return;
    if (this.following) this.t = Math.max(this.t, this.end);
    else {
      this.t = Math.min(this.end, this.t + passed * this.speed);
      if (this.t < this.end) return;
      if (this.live) this.follow();
      else this.playing = false;
    }
  }

  /** One can go from `start` to `end`; live, the end moves on. */
  range(start, end) {
    this.start = start;
    this.end = Math.max(start, end);
    this.t = Math.max(this.t, start);
  }

  seek(t) {
    this.t = Math.max(this.start, Math.min(this.end, t));
    this.following = false;
  }

  play() {
    if (!this.live && this.t >= this.end) this.t = this.start;
    this.playing = true;
  }

  pause() {
    this.playing = this.following = false;
  }

  /** Live: to the present, and on with it. */
  follow() {
    if (!this.live) return;
    this.playing = this.following = true;
    this.speed = 1;
    this.t = this.end;
  }

  setSpeed(speed) {
    this.speed = speed;
    if (speed !== 1) this.following = false;
  }
}

/** The kernel's clock, from what it said last: messages come late, never early. */
export class KernelClock {
  constructor() {
    this.ahead = -Infinity;
    this.heard = -Infinity;
  }

  hear(now, here) {
    const ahead = now - here;
    // The least delayed message is right; slowly, so that a clock that was set back is followed.
    this.ahead = Math.abs(ahead - this.ahead) > 5 ? ahead : Math.max(ahead, this.ahead - 0.005);
    this.heard = Math.max(now, this.ahead === ahead ? now : this.heard);
  }

  /** Seconds since its last word. */
  silence(here) {
    return here + this.ahead - this.heard;
  }

  /** What it says now; where it has been silent, no more than SILENCE_SECONDS after its last word. */
  at(here) {
    return Math.min(here + this.ahead, this.heard + SILENCE_SECONDS);
  }
}

// -- controls ---------------------------------------------------------------------------------------------------------

/** What may be done to a server, in words; which fit is in `fitting`. */
const ACTS = {
  remove: "Remove (finish its work first)", drain: "Drain", undrain: "End the drain", freeze: "Freeze", thaw: "Thaw",
  kill: "Cut its power: it boots again", delete: "Delete at once",
};

/** The actions of these that fit a server as it is. */
export function fitting(actions, server) {
  if (!server) return [];
  const several = ["worker", "api"].includes(server.role);
  const still = ["PAUSED", "SUSPENDED"].includes(server.status);
  const fits = {
    remove: several, drain: several && !server.drain, undrain: !!server.drain, delete: several,
    freeze: !still && server.well !== false, thaw: still || server.well === false, kill: server.status === "ACTIVE",
  };
  return Object.keys(ACTS).filter(name => fits[name] && actions.includes(name));
}

/** Buttons, speed and slider. */
class Controls {
  constructor(owner) {
    this.owner = owner;
    const button = (name, text, label, action) => {
      this[name] = make("button", {type: "button", class: `living-${name}`, onclick: action, title: label}, text);
      return this[name];
    };
    const {player} = owner;
    this.speed = make("select",
      {"aria-label": "Speed", class: "living-speed", onchange: () => owner.setSpeed(+this.speed.value)},
      ...SPEEDS.map(each => make("option", {value: each}, `${each}×`)));
    this.slider = make("input", {
      type: "range", class: "living-slider", "aria-label": "Time", step: "0.05", min: "0", max: "1",
      oninput: () => owner.seek(+this.slider.value),
    });
    this.marks = make("div", {class: "living-marks", "aria-hidden": "true"});
    this.time = make("span", {class: "living-time"});
    this.element = make("div", {class: "living-controls", role: "group", "aria-label": "Player"},
      button("play", "Play", "Play or pause (space)", () => owner.toggle()),
      button("step", "Step", "To the next event (.)", () => owner.step()),
      this.speed, make("div", {class: "living-track"}, this.slider, this.marks), this.time);
    if (player.live) this.element.append(button("live", "Live", "Back to the present (L)", () => owner.follow()));
  }

  show() {
    const {owner} = this, {player} = owner;
    const text = player.playing ? "Pause" : "Play";
    write(this.play, text);
    this.play.classList.toggle("living-primary", !player.playing);
    const speed = String(player.speed);
    if (this.speed.value !== speed) this.speed.value = speed;
    if (this.slider.min !== String(player.start)) this.slider.min = String(player.start);
    const end = player.end.toFixed(2);
    if (this.slider.max !== end) this.slider.max = end;
    this.slider.value = String(player.t);
    const behind = player.end - player.t;
    const ago = player.following ? "live" : behind < 0.05 ? "" : `−${seconds(behind)}`;
    const words = player.live
      ? `${clock(owner.panes[0].origin + player.t)} ${ago}`
      : `${player.t.toFixed(1)} of ${player.end.toFixed(1)} s`;
    write(this.time, words);
    if (this.slider.getAttribute("aria-valuetext") !== words) this.slider.setAttribute("aria-valuetext", words);
    if (this.live) this.live.setAttribute("aria-pressed", String(player.following));
    this._marks(player);
  }

  /** Where notes and gaps are on the slider. */
  _marks({start, end}) {
    const marks = this.owner.panes.flatMap(pane => [
      ...pane.story.notes.map(({t, e}) => [t - pane.origin, t - pane.origin, e.text]),
      ...pane.story.gaps.map(({e}) => [e.from - pane.origin, e.t - pane.origin, e.text]),
    ]).filter(([, to]) => to >= start && end > start);
    const key = `${marks.length} ${Math.floor(start)} ${Math.floor(end)}`;
    if (key === this.marked) return;
    this.marked = key;
    this.marks.replaceChildren(...marks.map(([from, to, text]) => {
      const place = t => (100 * (Math.max(start, t) - start)) / (end - start);
      const mark = make("span", {class: to > from ? "living-mark living-mark-gap" : "living-mark", title: text});
      mark.style.left = `${place(from)}%`;
      if (to > from) mark.style.width = `${place(to) - place(from)}%`;
      return mark;
    }));
  }
}

// -- mount ------------------------------------------------------------------------------------------------------------

const NAMES = ["ink", "faint", "ground", "shade"];

/** All that is shown in an element: panes, player, controls. */
class Living {
  constructor(element, {panes = [], live = false, actions = [], label = "", act = () => {}}) {
    this.actions = actions;
    this.act = act;
    this.frames = 0;
    this.request = 0;
    this.timer = 0;
    this.visible = false;
    this.closed = false;
    this.silent = false;
    this.clock = new KernelClock();
    this.player = new Player(live);
    this.unlisten = [];
    this.root = make("div", {
      class: "living", role: "group", "aria-label": label || "The application, moving", tabindex: "-1",
      "data-lm-suppress-shortcuts": "true",
    });
    this.reduced = matchMedia("(prefers-reduced-motion: reduce)");
    this.calm = this.reduced.matches;
    element.append(this.root);
    this.colours = this._colours();
    this.pace = {dots: Math.ceil(DOTS_MOST / Math.max(1, panes.length))};
    this.panes = (panes.length ? panes : [{title: "", events: []}]).map(pane => new Pane(this, pane));
    for (const pane of this.panes) pane.origin = Number.isFinite(pane.begins) ? pane.begins : null;
    if (!live) {
      this.player.range(0, Math.max(0, ...this.panes.map(pane => this._length(pane))));
      this.player.play(); // as soon as it is in sight
    }
    this.controls = new Controls(this);
    this.jobs = make("ul", {class: "living-jobs", "aria-label": "What was done", hidden: true});
    this.adds = make("div", {class: "living-adds"});
    const grid = make("div", {class: "living-panes"}, ...this.panes.map(pane => pane.element));
    grid.classList.toggle("living-several", this.panes.length > 1);
    this.root.append(this.controls.element, grid, this.adds, this.jobs, this._legend());
    this.setActions(actions);
    this._listen();
    this.redraw();
    this.wake();
  }

  _length(pane) {
    return pane.origin === null ? 0 : pane.story.end - pane.origin + TAIL_SECONDS;
  }

  _legend() {
    const items = Object.entries(KINDS).map(([kind, {words}]) => {
      const canvas = make("canvas", {width: 36, height: 36, "aria-hidden": "true"});
      canvas.dataset.kind = kind;
      return make("li", {}, canvas, words);
    });
    this.legend = make("ul", {class: "living-legend", "aria-label": "What the shapes mean"}, ...items);
    this._paintLegend();
    const words = `When things happen is measured; a dot takes ${TRAVEL_SECONDS} s for its way, so that eyes can `
      + `follow. Above ${FLOW_PER_SECOND} a second on a way, or ${DOTS_MOST} dots, the rest is drawn as a flow with `
      + "its number; slow motion shows more of them. The ring around a task is its lease.";
    return make("div", {class: "living-foot"}, this.legend, make("p", {}, words));
  }

  _paintLegend() {
    for (const canvas of this.legend.querySelectorAll("canvas")) {
      const context = canvas.getContext("2d");
      context.setTransform(2, 0, 0, 2, 18, 18);
      context.clearRect(-9, -9, 18, 18);
      trace(context, canvas.dataset.kind, this.colours);
    }
  }

  _colours() {
    const style = getComputedStyle(this.root);
    const colours = Object.fromEntries(NAMES.map(name => [name, style.getPropertyValue(`--living-${name}`).trim()]));
    colours.ink ||= "#222";
    colours.faint ||= "#595959";
    colours.ground ||= "#fff";
    colours.shade ||= "#ddd";
    colours.font = style.fontFamily || "sans-serif";
    colours.key = NAMES.map(name => colours[name]).join();
    return colours;
  }

  _on(target, name, listener, options) {
    target.addEventListener(name, listener, options);
    this.unlisten.push(() => target.removeEventListener(name, listener, options));
  }

  _listen() {
    this._on(this.root, "keydown", event => this._key(event));
    this._on(document, "visibilitychange", () => this.wake());
    this._on(document, "pointerdown", event => {
      if (this.opened && !this.opened.element.contains(event.target)) this.closeMenu(false);
    });
    this._on(this.reduced, "change", () => {
      this.calm = this.reduced.matches;
      this.redraw();
      this.wake();
    });
    const seen = new IntersectionObserver(entries => {
      for (const {target, isIntersecting} of entries) {
        this.panes.find(pane => pane.element === target).visible = isIntersecting;
      }
      this.visible = this.panes.some(pane => pane.visible);
      if (this.visible) this.redraw();
      this.wake();
    });
    for (const pane of this.panes) seen.observe(pane.element);
    this.unlisten.push(() => seen.disconnect());
    this._on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.redraw());
    const themed = new MutationObserver(() => this.redraw());
    for (const each of [document.documentElement, document.body]) themed.observe(each, {attributes: true});
    this.unlisten.push(() => themed.disconnect());
    const sized = new ResizeObserver(() => {
      const others = this.panes.filter(pane => pane.width() !== pane.fitted); // the height is ours
      for (const pane of others) pane.resized = true;
      if (others.length) this.redraw();
    });
    for (const pane of this.panes) sized.observe(pane.stage);
    this.unlisten.push(() => sized.disconnect());
  }

  // Time

  timeOf(pane) {
    return (pane.origin ?? 0) + this.player.t;
  }

  /** A time in words: on a recording, from its start. */
  timeWords(pane, t, fine = false) {
    if (!this.player.live) return `${(t - pane.origin).toFixed(fine ? 3 : 1)} s`;
    return fine ? `${clock(t)}.${String(Math.floor((t % 1) * 1000)).padStart(3, "0")}` : clock(t);
  }

  _advance(here) {
    const {player} = this;
    if (player.live) this._present(here);
    player.tick(Math.min(0.25, Math.max(0, (here - this.last) / 1000)));
    this.last = here;
  }

  /** Live: where the present is. */
  _present(here) {
    const [pane] = this.panes;
    if (pane.origin === null) return;
    this.silent = this.clock.silence(here / 1000) > SILENCE_SECONDS + 2;
    const end = this.clock.at(here / 1000) - DELAY_SECONDS - pane.origin;
    this.player.range(Math.max(0, end - KEPT_SECONDS), Math.max(this.player.end, end));
  }

  running() {
    const {playing, following} = this.player;
    return !this.closed && this.visible && !document.hidden && playing && !(following && this.silent);
  }

  /** Frames, or where less motion is preferred one picture a second, while it plays and is visible. */
  wake() {
    const running = this.running();
    if (running && this.calm && !this.timer) {
      this.last = performance.now();
      this.timer = setInterval(() => this._step(performance.now(), true), CALM_MS);
    } else if (running && !this.calm && !this.request) {
      this.last = performance.now();
      this.request = requestAnimationFrame(here => this._frame(here));
    }
    if (this.timer && (!running || !this.calm)) {
      clearInterval(this.timer);
      this.timer = 0;
    }
    if (this.request && (!running || this.calm)) {
      cancelAnimationFrame(this.request);
      this.request = 0;
    }
  }

  _frame(here) {
    this.request = 0;
    this._step(here, here - (this.slow ?? -Infinity) > SLOW_MS);
    if (!this.request && this.running() && !this.calm) this.request = requestAnimationFrame(next => this._frame(next));
  }

  _step(here, slowly) {
    const passed = here - this.last;
    this._advance(here);
    if (this.calm && passed > 250) this.player.tick((passed - 250) / 1000);
    this._draw(here, slowly || !this.player.playing);
    if (this.running()) return;
    this.redraw();
    this.wake();
  }

  _draw(here, slowly) {
    if (this.closed) return;
    if (slowly) {
      this.slow = here;
      this._theme(here);
    }
    for (const pane of this.panes) if (pane.visible || !this.running()) pane.show(this.timeOf(pane), slowly);
    if (slowly) this.controls.show();
    this.frames += 1;
  }

  _theme(here) {
    if (here - (this.themed ?? -Infinity) < 900) return;
    this.themed = here;
    const colours = this._colours();
    if (colours.key === this.colours.key) return;
    this.colours = colours;
    this._paintLegend();
    for (const pane of this.panes) pane.renew();
  }

  /** Draw once where nothing plays. */
  repaint() {
    if (!this.running()) this._draw(performance.now(), false);
  }

  /** Draw once, with all words and numbers. */
  redraw() {
    if (this.closed || !this.panes || !this.controls) return;
    this.themed = undefined;
    this._draw(performance.now(), true);
  }

  // What the controls do

  seek(t) {
    this.player.seek(t);
    this.redraw();
    this.wake();
  }

  toggle() {
    if (this.player.playing) this.pause();
    else this.play();
  }

  play() {
    this.player.play();
    this.redraw();
    this.wake();
  }

  pause() {
    this.player.pause();
    this.redraw();
    this.wake();
  }

  follow() {
    this._present(performance.now());
    this.player.follow();
    this.setSpeed(1);
  }

  /** To the next event, and stop there. */
  step() {
    this.player.pause();
    const next = this.panes.map(pane => pane.story.nextAfter(this.timeOf(pane))?.t - pane.origin);
    const to = Math.min(...next.filter(t => t <= this.player.end));
    if (Number.isFinite(to)) this.player.seek(to);
    this.redraw();
    this.wake();
  }

  setSpeed(speed) {
    this.player.setSpeed(speed);
    for (const pane of this.panes) pane.story.setSpeed(speed);
    this.redraw();
    this.wake();
  }

  _faster(by) {
    const at = SPEEDS.indexOf(this.player.speed);
    this.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, at + by))]);
  }

  _key(event) {
    if (event.key === "Tab") return;
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const {target, key} = event;
    const own = target.closest("input, select, [role=menu], [role=listbox]");
    const pressed = target.closest("button, summary");
    if (own && (key.startsWith("Arrow") || key === " " || own.tagName === "SELECT")) return;
    const action = {
      " ": pressed ? null : () => this.toggle(), ".": () => this.step(), ArrowRight: () => this.step(),
      l: () => this.follow(), L: () => this.follow(), "-": () => this._faster(-1), "−": () => this._faster(-1),
      "+": () => this._faster(1), "=": () => this._faster(1),
      Escape: () => this.panes.forEach(pane => pane._show(null)),
    }[key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // Actions

  setActions(actions) {
    this.actions = actions;
    const adds = actions.includes("add") ? [["worker", "Add a worker"], ["api", "Add an API"]] : [];
    this.adds.replaceChildren(...adds.map(([role, words]) => (
      make("button", {type: "button", onclick: () => this.act({type: "act", what: "add", role})}, words))));
    this.adds.hidden = !adds.length;
    for (const pane of this.panes) pane.renew();
  }

  /** The menu of a server; where nothing can be done to it, its card. */
  menu(pane, name) {
    const server = this.panes[0].story.at(this.timeOf(pane)).scene.servers?.[name];
    const acts = fitting(this.actions, server);
    const again = this.opened?.name === name;
    this.closeMenu(again);
    if (again) return;
    if (!acts.length) return void pane._show({server: name});
    pane._show(null);
    const opener = pane.servers.get(name).element;
    const items = acts.map(what => make("button", {
      type: "button", role: "menuitem", tabindex: "-1",
      onclick: () => {
        this.closeMenu(true);
        this.act({type: "act", what, server: name});
      },
    }, ACTS[what]));
    const menu = make("div", {class: "living-menu", role: "menu", "aria-label": name, onkeydown: event => {
      const at = items.indexOf(event.target);
      const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1}[event.key];
      if (event.key === "Escape") this.closeMenu(true);
      else if (event.key === "Tab") this.closeMenu(false);
      else if (to !== undefined) items[(to + items.length) % items.length].focus();
      else return;
      if (event.key !== "Tab") event.preventDefault();
    }}, ...items);
    pane.stage.append(menu);
    const {x, y, width, height} = pane.plan.rectangle(pane.plan.boxes.get(name));
    const left = Math.max(2, Math.min(pane.fitted - menu.offsetWidth - 2, x + width / 2 - menu.offsetWidth / 2));
    menu.style.left = `${left}px`;
    const high = menu.offsetHeight, above = y + height + high > pane.tallest && y > high;
    menu.style.top = `${above ? y - high - 2 : y + height + 2}px`;
    this.opened = {name, element: menu, opener};
    items[0].focus();
  }

  closeMenu(back) {
    const {opened} = this;
    this.opened = null;
    opened?.element.remove();
    if (back) opened?.opener.focus();
  }

  // From outside

  feed(index, events, now) {
    if (this.closed) return;
    const pane = this.panes[index] ?? this.panes[0];
    const here = performance.now();
    if (now !== undefined) this.clock.hear(now, here / 1000);
    pane.story.add(events, pane.shownAt);
    if (pane.origin === null && (Number.isFinite(pane.story.start) || now !== undefined)) {
      pane.origin = Math.min(pane.story.start, now ?? Infinity);
    }
    if (this.player.live) {
      this._present(here);
      if (here - (this.forgot ??= here) > FORGET_MS) {
        this.forgot = here;
        pane.story.forget(pane.origin + this.player.start - LINE_SECONDS);
      }
    } else this.player.range(0, Math.max(0, ...this.panes.map(each => this._length(each))));
    if (!this.running()) this.redraw();
    this.wake();
  }

  /** Live: begin anew with these events. */
  begin(events, now) {
    const [pane] = this.panes;
    pane.story = new Story({...this.pace, speed: this.player.speed});
    pane.origin = null;
    pane.shownAt = -Infinity;
    pane.renew();
    const {t, following} = this.player;
    this.player.t = this.player.start = this.player.end = 0;
    this.feed(0, events, now);
    pane.story.late = 0;
    this.player.t = following ? this.player.end : Math.max(this.player.start, Math.min(this.player.end, t));
    this.redraw();
    this.wake();
  }

  setJobs(lines) {
    this.jobs.hidden = !lines.length;
    this.jobs.replaceChildren(...lines.map(line => make("li", {}, line)));
  }

  state() {
    const {player} = this;
    const sum = name => this.panes.reduce((total, pane) => total + pane.found[name], 0);
    const [first] = this.panes;
    return {
      t: player.t, start: player.start, end: player.end, playing: player.playing, speed: player.speed,
      dots: this.calm ? 0 : sum("dots"), flows: sum("flows"), frames: this.frames,
      late: this.panes.reduce((total, pane) => total + pane.story.late, 0),
      scene: first.story.at(this.timeOf(first)).scene,
    };
  }

  close() {
    if (this.closed) return;
    this.player.pause();
    this.closed = true;
    this.wake();
    this.unlisten.forEach(stop => stop());
    this.root.remove();
  }
}

/**
 * Show panes in an element: see the top of this file. `act` is told what the reader wants to do.
 *
 * A recording plays as soon as it is in sight. `player.state()`: `t`, `start` and `end` in seconds from the recordings'
 * start; `dots` and `flows`: what moves, one by one and as part of flows; `frames` drawn so far; `late` events; and the
 * first pane's `scene`. Live: `begin(events, now)`, then `feed(0, events, now)`, with the time of the kernel's clock.
 */
export function mount(element, options = {}) {
  const living = new Living(element, options);
  return {
    feed: (pane, events, now) => living.feed(pane, events, now),
    begin: (events, now) => living.begin(events, now),
    player: {
      seek: t => living.seek(t), play: () => living.play(), pause: () => living.pause(), step: () => living.step(),
      follow: () => living.follow(), setSpeed: speed => living.setSpeed(speed), state: () => living.state(),
    },
    actions: actions => living.setActions(actions),
    jobs: lines => living.setJobs(lines),
    close: () => living.close(),
  };
}

// -- anywidget's render -----------------------------------------------------------------------------------------------

function render({model, el}) {
  const live = !!model.get("live");
  const shown = mount(el, {
    panes: model.get("panes") ?? [], live, actions: model.get("actions") ?? [], label: model.get("label") ?? "",
    act: message => model.send(message),
  });
  const hear = message => {
    if (message.type === "start") shown.begin(message.events, message.now);
    else if (message.type === "events") shown.feed(0, message.events, message.now);
    else if (message.type === "closed") {
      shown.player.pause();
      shown.actions([]);
    }
  };
  const jobs = () => shown.jobs(model.get("jobs") ?? []);
  const actions = () => shown.actions(model.get("actions") ?? []);
  model.on("msg:custom", hear);
  model.on("change:jobs", jobs);
  model.on("change:actions", actions);
  jobs();
  if (live) model.send({type: "ready"});
  return () => {
    model.off("msg:custom", hear);
    model.off("change:jobs", jobs);
    model.off("change:actions", actions);
    shown.close();
  };
}

export default {render};
