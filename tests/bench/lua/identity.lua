function transform(event)
  return event
end
