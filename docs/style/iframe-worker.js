// Pages opened as files may not start workers. The search then works in a hidden frame: this class
// stands in for Worker there. The theme's search script looks for its name in the parent window.
window.IFrameWorker = class extends EventTarget {
  constructor(url) {
    super()
    this.waiting = []
    const frame = document.createElement("iframe")
    frame.hidden = true
    document.body.append(frame)
    const inside = frame.contentWindow
    inside.postMessage = data => {
      const message = new MessageEvent("message", { data })
      this.dispatchEvent(message)
      if (this.onmessage) this.onmessage(message)
    }
    const script = inside.document.createElement("script")
    script.src = url
    script.onload = () => {
      this.inside = inside
      for (const data of this.waiting.splice(0)) this.postMessage(data)
    }
    inside.document.body.append(script)
    this.frame = frame
  }

  postMessage(data) {
    if (this.inside) this.inside.dispatchEvent(new MessageEvent("message", { data }))
    else this.waiting.push(data)
  }

  terminate() {
    this.frame.remove()
  }
}

if (location.protocol === "file:") window.Worker = window.IFrameWorker
