//! The time that a template may ask for. Whoever has a clock says what it is.

/// A moment, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateClock {
    year: i64,
    /// From 1.
    month: usize,
    /// From 1.
    day: u64,
    /// From 0, Sunday.
    weekday: usize,
    /// Within the day.
    second_of_day: u64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl TemplateClock {
    /// So many seconds after the beginning of 1970, in Greenwich.
    pub fn from_unix(seconds: u64) -> Self {
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years are counted from March 1st of the year 0, so that a leap day is a year's last.
        let days = days as i64 + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * month + 2) / 5 + 1) as u64;
        let weekday = (days - 719_468 + 4).rem_euclid(7) as usize;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        Self { year, month: month as usize, day, weekday, second_of_day: second }
    }

    /// As `strftime` writes it; what it doesn't know stays as it is.
    pub fn strftime(&self, format: &str) -> String {
        let mut text = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            match if c == '%' { rest.next() } else { None } {
                Some(field) => text += &self.format_field(field).unwrap_or_else(|| format!("%{field}")),
                None => text.push(c),
            }
        }
        text
    }

    fn format_field(&self, field: char) -> Option<String> {
        let (hour, minute) = (self.second_of_day / 3600, self.second_of_day / 60 % 60);
        Some(match field {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => format!("{:02}", self.month),
            'B' => MONTHS[self.month - 1].into(),
            'b' => MONTHS[self.month - 1][..3].into(),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'A' => DAYS[self.weekday].into(),
            'a' => DAYS[self.weekday][..3].into(),
            'H' => format!("{hour:02}"),
            'I' => format!("{:02}", (hour + 11) % 12 + 1),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'M' => format!("{minute:02}"),
            'S' => format!("{:02}", self.second_of_day % 60),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{hour:02}:{minute:02}:{:02}", self.second_of_day % 60),
            '%' => "%".into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let all = "%A %a %d %B %b %Y %y %m %H:%M:%S %I %p %%";
        let cases = [
            (0, "Thursday Thu 01 January Jan 1970 70 01 00:00:00 12 AM %"),
            (951_782_399, "Monday Mon 28 February Feb 2000 00 02 23:59:59 11 PM %"),
            (951_782_400, "Tuesday Tue 29 February Feb 2000 00 02 00:00:00 12 AM %"),
            (4_107_542_400, "Monday Mon 01 March Mar 2100 00 03 00:00:00 12 AM %"),
            (1_735_689_599, "Tuesday Tue 31 December Dec 2024 24 12 23:59:59 11 PM %"),
        ];
        cases.iter().for_each(|(seconds, text)| assert_eq!(TemplateClock::from_unix(*seconds).strftime(all), *text));
    }
}
