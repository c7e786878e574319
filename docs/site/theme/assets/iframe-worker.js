// Browsers start no worker from a page that was opened as a file. There the script of the search
// runs in a hidden frame instead, which sends and receives the messages of a worker.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.title = "Search"
      document.body.append(frame)
      this.inside = frame.contentWindow
      const page = this.inside.document
      page.open()
      page.write("<!doctype html><title>Search</title>")
      page.close()
      this.inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}))
      const script = page.createElement("script")
      script.src = new URL(url, location.href)
      script.onload = () => {
        const waiting = this.waiting
        this.waiting = null
        waiting.forEach(data => this.send(data))
      }
      page.head.append(script)
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.send(data)
    }

    send(data) {
      this.inside.dispatchEvent(new this.inside.MessageEvent("message", {data}))
    }
  }
}
