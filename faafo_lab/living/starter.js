// Starts the picture that moves in place of the still beside this script: unpacks the module and the events, which the
// element before holds, and mounts them. Where that cannot be done, the still stays, and says why.
(async (place) => {
  const packed = place.querySelector("script[type='application/gzip']").textContent;
  const still = place.querySelector(".faafo-still");
  try {
    const bytes = Uint8Array.from(atob(packed.trim()), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const { module, style, panes, label } = await new Response(stream).json();
    const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    const { mount } = await import(url).finally(() => URL.revokeObjectURL(url));
    const rules = document.createElement("style");
    rules.textContent = style;
    const stage = document.createElement("div");
    place.append(rules, stage);
    place.shown = mount(stage, { panes, live: false, actions: [], label, act: () => {} });
    still.remove();
  } catch (error) {
    place.querySelector(".faafo-why").textContent = `This browser cannot play the recording (${error}).`;
    console.error(error);
  }
})(document.currentScript.parentElement);
