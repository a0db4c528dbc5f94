internal import NIOCore
internal import NIOHTTP2

/// Tells the handler that closes connections which streams are open: each is opened once and closed once, in this
/// order.
///
/// A stream whose first words find the connection gone is closed before the library has said that it was opened.
struct StreamBalance: NIOHTTP2StreamDelegate {
    private struct State {
        var open: Set<HTTP2StreamID> = []
        var closedEarly: Set<HTTP2StreamID> = []
    }

    private let next: any NIOHTTP2StreamDelegate
    private let state: NIOLoopBoundBox<State>

    init(_ next: any NIOHTTP2StreamDelegate, eventLoop: any EventLoop) {
        self.next = next
        state = NIOLoopBoundBox(State(), eventLoop: eventLoop)
    }

    func streamCreated(_ id: HTTP2StreamID, channel: any Channel) {
        guard state.value.closedEarly.remove(id) == nil else { return }
        state.value.open.insert(id)
        next.streamCreated(id, channel: channel)
    }

    func streamClosed(_ id: HTTP2StreamID, channel: any Channel) {
        guard state.value.open.remove(id) != nil else {
            state.value.closedEarly.insert(id)
            return
        }
        next.streamClosed(id, channel: channel)
    }
}
