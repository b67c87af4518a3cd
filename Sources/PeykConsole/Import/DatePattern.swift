import PeykCRM
public import PeykModel

/// How dates stand in a file: `yyyy-MM-dd` and its orders, or Persian dates.
///
/// `yyyy`, `MM` and `dd` (one digit passes for the last two) with any separators between; `jalali` for
/// `1403/12/30`. A date that does not exist is refused, never rolled over.
public struct DatePattern: Hashable, Sendable {
    private enum Part: Hashable { case year, month, day, mark(Character) }
    private let parts: [Part]
    private let isJalali: Bool

    public static let iso = DatePattern(parts: [.year, .mark("-"), .month, .mark("-"), .day], isJalali: false)

    private init(parts: [Part], isJalali: Bool) {
        self.parts = parts
        self.isJalali = isJalali
    }

    /// Nil where the pattern does not have each of year, month and day once.
    public init?(_ pattern: String) {
        if pattern == "iso" {
            self = .iso
            return
        }
        if pattern == "jalali" {
            self.init(parts: [], isJalali: true)
            return
        }
        var parts: [Part] = []
        var rest = pattern[...]
        while let first = rest.first {
            if rest.hasPrefix("yyyy") {
                parts.append(.year)
                rest = rest.dropFirst(4)
            } else if first == "M" || first == "d" {
                let run = rest.prefix { $0 == first }
                guard run.count <= 2 else { return nil }
                parts.append(first == "M" ? .month : .day)
                rest = rest.dropFirst(run.count)
            } else {
                guard !first.isLetter else { return nil }
                parts.append(.mark(first))
                rest = rest.dropFirst()
            }
        }
        for part in [Part.year, .month, .day] where parts.count(where: { $0 == part }) != 1 { return nil }
        self.init(parts: parts, isJalali: false)
    }

    public func read(_ text: String) -> CalendarDate? {
        if isJalali { return JalaliDate(text)?.gregorian }
        var rest = Digits.latin(text)[...]
        var year = 0
        var month = 0
        var day = 0
        for part in parts {
            switch part {
            case .mark(let mark):
                guard rest.first == mark else { return nil }
                rest = rest.dropFirst()
            case .year:
                let digits = rest.prefix(4)
                guard digits.count == 4, let number = Self.number(digits) else { return nil }
                year = number
                rest = rest.dropFirst(4)
            case .month, .day:
                let digits = rest.prefix(2).prefix { ("0"..."9").contains($0) }
                guard let number = Self.number(digits) else { return nil }
                if part == .month { month = number } else { day = number }
                rest = rest.dropFirst(digits.count)
            }
        }
        guard rest.isEmpty else { return nil }
        return CalendarDate(year: year, month: month, day: day)
    }

    private static func number(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
    }
}
