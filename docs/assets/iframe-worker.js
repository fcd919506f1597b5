// A page that is opened from disk may not start a worker. The search then runs in a hidden frame, which is given what the
// page asks of a worker: messages in, messages out, an end. As with a worker, each side is given a copy of what the other sends:
// the search changes the question that it is given, and the page still needs its own.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.started = new Promise((started) => {
        this.frame.addEventListener("load", () => {
          const inside = this.frame.contentWindow;
          // As with a worker, an answer never arrives while the question is still being put.
          inside.postMessage = (data) => {
            const copy = structuredClone(data);
            queueMicrotask(() => this.onmessage?.({ data: copy }));
          };
          const script = inside.document.createElement("script");
          script.addEventListener("load", () => started(inside));
          script.addEventListener("error", () => this.onerror?.(new Event("error")));
          script.src = address;
          inside.document.head.append(script);
        }, { once: true });
      });
      document.body.append(this.frame);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.started.then((inside) => inside.onmessage?.({ data: copy }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
