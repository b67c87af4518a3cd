import PeykSQLite

/// When the file gives free pages back: what commits took that were packed or dropped (rule I10, decision 0020).
enum FreePages {
    /// Fewer stay for the next writes.
    static let pagesMin = 256
    /// As do those that are a smaller part of the file than one in so many.
    static let partMin = 16
    /// In one transaction: others wait for it, and the log grows by as much.
    static let pagesATime = 1_000
    /// In one session, which is 128 MB.
    static let turnsMax = 32

    static func areMany(free: Int, all: Int) -> Bool { free >= max(pagesMin, all / partMin) }
}

extension Replica {
    /// Gives back what is free where that is much, a part at a time.
    func giveBackFreePages() throws {
        do {
            var pages = try database.pages()
            guard FreePages.areMany(free: pages.free, all: pages.all) else { return }
            for _ in 0..<FreePages.turnsMax where pages.free > 0 {
                let before = pages
                try database.shrink(pagesMax: min(pages.free, FreePages.pagesATime))
                pages = try database.pages()
                // A file of a former version cannot.
                guard pages.all < before.all else { return }
            }
        } catch { throw ReplicaError.wrapping(error) }
    }
}
