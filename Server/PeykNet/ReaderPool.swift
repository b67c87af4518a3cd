import Dispatch
import Synchronization

/// A few serial queues on which blocking reads run; a session keeps its queue, so its reads keep their order.
final class ReaderPool: Sendable {
    private let queues: [DispatchQueue]
    private let next = Atomic(0)

    init(width: Int = 4) {
        queues = (0..<max(1, width)).map { DispatchQueue(label: "peyk.reader.\($0)") }
    }

    func queue() -> DispatchQueue {
        let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
        return queues[abs(number % queues.count)]
    }
}
