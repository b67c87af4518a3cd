/// Lets the options that all commands have stand before the command too: `peyk --home X status`.
public struct GlobalFirst: Sendable {
    private let withValue: Set<String>

    /// - Parameter place: the option that says where the data is: `--home` or `--data`.
    public init(place: String) { withValue = [place, "--format", "--lang", "--calendar", "--digits"] }

    /// The arguments without the program's name, such options moved behind the command.
    public func arranged(_ arguments: [String]) -> [String] {
        var rest = arguments.dropFirst()
        var moved: [String] = []
        while let first = rest.first {
            let name = first.split(separator: "=", maxSplits: 1).first.map(String.init) ?? ""
            guard withValue.contains(name) else { break }
            let count = first.contains("=") ? 1 : min(2, rest.count)
            moved += rest.prefix(count)
            rest = rest.dropFirst(count)
        }
        // What follows “--” is no option any more.
        let end = rest.firstIndex(of: "--") ?? rest.endIndex
        return rest[..<end] + moved + rest[end...]
    }
}
